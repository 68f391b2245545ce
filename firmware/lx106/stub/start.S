/* The first instruction, called by the boot ROM: a0 is its return address, a1 its stack of some 5 KB.
   Zeroes the statics, runs the stub, and goes on, with the ROM's stack and return address as they were, at the address
   that the stub gives back. */
    .section .text.entry, "ax"
    .literal_position
    .align 4
    .global entry
    .type entry, @function
entry:
    movi    a2, lx106_bss_start
    movi    a3, lx106_bss_end
    movi    a4, 0
1:  s32i    a4, a2, 0
    addi    a2, a2, 4
    bltu    a2, a3, 1b
    addi    a1, a1, -16
    s32i    a0, a1, 0
    call0   main_loop
    l32i    a0, a1, 0
    addi    a1, a1, 16
    jx      a2
    .size entry, . - entry
