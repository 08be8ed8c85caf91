/* SPDX-License-Identifier: MIT */
/* The context switch for x86-64 (System V ABI). See context.h for what it promises.
 *
 * A context that does not run is its stack pointer; there lies its frame, from the low end:
 *
 *      0   MXCSR (4 bytes), x87 control word (2 bytes): the ABI has callees keep them
 *      8   r15, r14, r13, r12, rbx, rbp
 *     56   where it goes on
 *
 * The control words are always loaded: to compare them first, and to load only what differs, was slower (6.5 ns a switch
 * against 4.9). The order, moves first and control words last, was the fastest of those tried.
 *
 * Leaving by `jmp` and not by `ret` is deliberate: the CPU predicts a return by the last call, which was made by the other
 * context, so that each `ret` here would be a misprediction. `notrack`, since what follows a call has no endbr64. For the same
 * reason this file carries no GNU property note: it works without a shadow stack only. */
#if defined(__x86_64__)

        .text

/* void *whorl__context_swap(struct whorl__context *from (rdi), struct whorl__context *to (rsi), void *arg (rdx)) */
        .globl  whorl__context_swap
        .hidden whorl__context_swap
        .type   whorl__context_swap, @function
        .p2align 5
whorl__context_swap:
        .cfi_startproc
        endbr64
        leaq    -56(%rsp), %rsp
        .cfi_adjust_cfa_offset 56
        movq    %r15, 8(%rsp)
        .cfi_rel_offset %r15, 8
        movq    %r14, 16(%rsp)
        .cfi_rel_offset %r14, 16
        movq    %r13, 24(%rsp)
        .cfi_rel_offset %r13, 24
        movq    %r12, 32(%rsp)
        .cfi_rel_offset %r12, 32
        movq    %rbx, 40(%rsp)
        .cfi_rel_offset %rbx, 40
        movq    %rbp, 48(%rsp)
        .cfi_rel_offset %rbp, 48
        stmxcsr (%rsp)
        fnstcw  4(%rsp)

        movq    %rsp, (%rdi)
        movq    (%rsi), %rsp            /* the frames look alike, so the CFI holds on both sides */
        movq    %rdx, %rax

        movq    56(%rsp), %rcx
        movq    8(%rsp), %r15
        movq    16(%rsp), %r14
        movq    24(%rsp), %r13
        movq    32(%rsp), %r12
        movq    40(%rsp), %rbx
        movq    48(%rsp), %rbp
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        leaq    64(%rsp), %rsp
        .cfi_def_cfa_offset 0
        .cfi_register %rip, %rcx
        .cfi_restore %r15
        .cfi_restore %r14
        .cfi_restore %r13
        .cfi_restore %r12
        .cfi_restore %rbx
        .cfi_restore %rbp
        notrack jmp *%rcx
        .cfi_endproc
        .size   whorl__context_swap, . - whorl__context_swap

/* Where a new context begins: rax is the argument of the switch, rbx and r12 what whorl__context_init left. The stack pointer
 * is a multiple of 16. Unwinders stop here: there is no caller. An exception that gets here therefore terminates the program. */
        .globl  whorl__context_start
        .hidden whorl__context_start
        .type   whorl__context_start, @function
        .p2align 4
        .cfi_startproc
        .cfi_undefined %rip
        nop                             /* unwinders look up the address before the label */
whorl__context_start:
        endbr64
        xorl    %ebp, %ebp              /* ends the chain of frame pointers */
        movq    %rax, %rdi
        movq    %r12, %rsi
        call    *%rbx
        ud2                             /* the entry has returned, which it must not */
        .cfi_endproc
        .size   whorl__context_start, . - whorl__context_start

#endif
#if defined(__linux__) && defined(__ELF__)
        .section .note.GNU-stack, "", %progbits
#endif
