/* SPDX-License-Identifier: MIT */
/* The context switch for aarch64 (AAPCS64). See context.h for what it promises.
 *
 * A context that does not run is its stack pointer; there lies its frame, from the low end:
 *
 *      0   x19 … x28
 *     80   x29, x30 (where it goes on)
 *     96   d8 … d15: callees keep the low halves of v8 … v15
 *    160   FPCR
 *
 * It leaves by `br`, not by `ret`: the CPU predicts a return by the last call, which was made by the other context. Built for
 * branch target identification, where a `br` may not land behind a call, it has to be `ret`. */
#if defined(__aarch64__)

#if defined(__ARM_FEATURE_BTI_DEFAULT)
#define LEAVE ret
#else
#define LEAVE br x30
#endif
#define BTI_CALL hint #34
#define BTI_ANY  hint #38

        .text

/* void *whorl__context_swap(struct whorl__context *from (x0), struct whorl__context *to (x1), void *arg (x2)) */
        .globl  whorl__context_swap
        .hidden whorl__context_swap
        .type   whorl__context_swap, %function
        .p2align 5
whorl__context_swap:
        .cfi_startproc
        BTI_CALL
        sub     sp, sp, #176
        .cfi_def_cfa_offset 176
        stp     x19, x20, [sp]
        .cfi_rel_offset x19, 0
        .cfi_rel_offset x20, 8
        stp     x21, x22, [sp, #16]
        .cfi_rel_offset x21, 16
        .cfi_rel_offset x22, 24
        stp     x23, x24, [sp, #32]
        .cfi_rel_offset x23, 32
        .cfi_rel_offset x24, 40
        stp     x25, x26, [sp, #48]
        .cfi_rel_offset x25, 48
        .cfi_rel_offset x26, 56
        stp     x27, x28, [sp, #64]
        .cfi_rel_offset x27, 64
        .cfi_rel_offset x28, 72
        stp     x29, x30, [sp, #80]
        .cfi_rel_offset x29, 80
        .cfi_rel_offset x30, 88
        stp     d8, d9, [sp, #96]
        .cfi_rel_offset d8, 96
        .cfi_rel_offset d9, 104
        stp     d10, d11, [sp, #112]
        .cfi_rel_offset d10, 112
        .cfi_rel_offset d11, 120
        stp     d12, d13, [sp, #128]
        .cfi_rel_offset d12, 128
        .cfi_rel_offset d13, 136
        stp     d14, d15, [sp, #144]
        .cfi_rel_offset d14, 144
        .cfi_rel_offset d15, 152
        mrs     x9, fpcr
        str     x9, [sp, #160]

        mov     x10, sp
        str     x10, [x0]
        ldr     x10, [x1]
        mov     sp, x10                 /* the frames look alike, so the CFI holds on both sides */
        mov     x0, x2

        ldr     x10, [sp, #160]
        cmp     x9, x10                 /* writing FPCR drains the floating point unit on many cores; mostly it is the same */
        b.eq    1f
        msr     fpcr, x10
1:      ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        ldp     x19, x20, [sp]
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        add     sp, sp, #176
        .cfi_def_cfa_offset 0
        .cfi_restore x19
        .cfi_restore x20
        .cfi_restore x21
        .cfi_restore x22
        .cfi_restore x23
        .cfi_restore x24
        .cfi_restore x25
        .cfi_restore x26
        .cfi_restore x27
        .cfi_restore x28
        .cfi_restore x29
        .cfi_restore x30
        .cfi_restore d8
        .cfi_restore d9
        .cfi_restore d10
        .cfi_restore d11
        .cfi_restore d12
        .cfi_restore d13
        .cfi_restore d14
        .cfi_restore d15
        LEAVE
        .cfi_endproc
        .size   whorl__context_swap, . - whorl__context_swap

/* Where a new context begins: x0 is the argument of the switch, x19 and x20 what whorl__context_init left. Unwinders stop here:
 * there is no caller. An exception that gets here therefore terminates the program. */
        .globl  whorl__context_start
        .hidden whorl__context_start
        .type   whorl__context_start, %function
        .p2align 4
        .cfi_startproc
        .cfi_undefined x30
        nop                             /* unwinders look up the address before the label */
whorl__context_start:
        BTI_ANY
        mov     x29, xzr                /* ends the chain of frame pointers */
        mov     x30, xzr
        mov     x1, x20
        blr     x19
        brk     #1                      /* the entry has returned, which it must not */
        .cfi_endproc
        .size   whorl__context_start, . - whorl__context_start

#if defined(__ARM_FEATURE_BTI_DEFAULT)
/* GNU_PROPERTY_AARCH64_FEATURE_1_AND: BTI */
        .section .note.gnu.property, "a", %note
        .p2align 3
        .word   4, 16, 5
        .asciz  "GNU"
        .word   0xc0000000, 4, 1, 0
#endif
#endif
        .section .note.GNU-stack, "", %progbits
