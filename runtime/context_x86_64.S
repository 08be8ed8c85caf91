/* SPDX-License-Identifier: MIT */
/* Where contexts begin on x86-64 (System V ABI); the switch itself is inline, in context.h, and so are the four words read here. */
#if defined(__x86_64__)

        .text

/* The stack pointer is 32 below the stack's end; rax is the argument of the switch. Unwinders stop here: there is no caller. An
 * exception that gets here therefore terminates the program. */
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
        ldmxcsr 8(%rsp)
        fldcw   12(%rsp)
        movq    16(%rsp), %rcx
        movq    24(%rsp), %rsi
        movq    %rax, %rdi
        addq    $32, %rsp               /* a multiple of 16, as a call wants it */
        call    *%rcx
        ud2                             /* the entry has returned, which it must not */
        .cfi_endproc
        .size   whorl__context_start, . - whorl__context_start

#endif
        .section .note.GNU-stack, "", %progbits
