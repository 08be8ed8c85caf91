/* SPDX-License-Identifier: MIT */
/* Where contexts begin on aarch64 (AAPCS64); the switch itself is inline, in context.h, and so are the four words read here. */
#if defined(__aarch64__)

        .text

/* The stack pointer is 32 below the stack's end; x2 is the argument of the switch. Unwinders stop here: there is no caller. An
 * exception that gets here therefore terminates the program. */
        .globl  whorl__context_start
        .hidden whorl__context_start
        .type   whorl__context_start, %function
        .p2align 4
        .cfi_startproc
        .cfi_undefined x30
        nop                             /* unwinders look up the address before the label */
whorl__context_start:
        hint    #38                     /* bti jc: jumps may land here */
        mov     x29, xzr                /* ends the chain of frame pointers */
        mov     x30, xzr
        ldr     x9, [sp, #8]
        msr     fpcr, x9
        ldp     x9, x1, [sp, #16]
        mov     x0, x2
        add     sp, sp, #32             /* a multiple of 16, as it always has to be */
        blr     x9
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
