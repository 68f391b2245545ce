/* What must be in instruction RAM: vectors, start-up, everything that runs while the flash cannot be read. call0 ABI:
   arguments and results in a2.., a12-a15 are kept, a1 is the stack.
   Offsets of the vectors from VECBASE and the numbers of PS: Xtensa ISA, exception option. */

    .section .vectors, "ax"
    .align 256
    .global board_vectors
board_vectors:
    .org 0x10                       /* debug: a BREAK, which a trap ends in */
    movi    a7, 1
    j       crash
    .org 0x20                       /* non-maskable interrupt */
    movi    a7, 2
    j       crash
    .org 0x30                       /* exception with PS.UM 0 */
    movi    a7, 0
    j       crash
    .org 0x50                       /* exception or interrupt with PS.UM 1 */
    wsr.excsave1 a7
    rsr.exccause a7
    beqi    a7, 4, interrupt
    movi    a7, 0
    j       crash
    .org 0x70                       /* exception during an exception */
    movi    a7, 3
    j       crash
    .org 0x80
interrupt:                          /* ends a wait: no interrupt is enabled but during one */
    movi    a7, 0
    wsr.intenable a7
    rsync
    rsr.excsave1 a7
    rfe

    .text
    .align  4
crash:                              /* leaves a record in RTC memory, see crash.rs, and resets the chip */
    movi    a2, 0x60001200
    movi    a3, 0x72634245          /* "EBcr" */
    s32i    a3, a2, 0
    s32i    a7, a2, 4
    rsr.exccause a3
    s32i    a3, a2, 8
    rsr.epc1 a3
    s32i    a3, a2, 12
    rsr.epc2 a3
    s32i    a3, a2, 16
    rsr.epc3 a3
    s32i    a3, a2, 20
    rsr.excvaddr a3
    s32i    a3, a2, 24
    rsr.depc a3
    s32i    a3, a2, 28
    s32i    a0, a2, 32
    s32i    a1, a2, 36
    .align  4
    .global board_reset
    .type   board_reset, @function
board_reset:                        /* () -> !: the RTC's software reset */
    movi    a2, 0x60000700
    movi    a3, 0x80000000
    s32i    a3, a2, 0
1:  j       1b

    .align  4
    .global entry
    .type   entry, @function
entry:                              /* the boot ROM calls this */
    movi    a1, board_stack
    movi    a2, board_vectors
    wsr.vecbase a2
    movi    a2, 0
    wsr.intenable a2
    movi    a3, 0x20                /* UM 1, EXCM 0, INTLEVEL 0 */
    wsr.ps  a3
    rsync
    movi    a3, board_bss_start
    movi    a4, board_bss_end
1:  bgeu    a3, a4, 2f
    s32i    a2, a3, 0
    addi    a3, a3, 4
    j       1b
2:  movi    a3, 0                   /* the first megabyte, 16 KiB of cache */
    movi    a4, 0
    movi    a0, Cache_Read_Enable
    callx0  a0
    movi    a0, board_main
    callx0  a0
    j       board_reset

    .align  4
    .global board_flash
    .type   board_flash, @function
board_flash:                        /* (function, a: u32, b: u32, c: u32) -> u32: with the flash taken from the cache */
    addi    a1, a1, -32
    s32i    a0, a1, 0
    s32i    a12, a1, 4
    s32i    a13, a1, 8
    s32i    a14, a1, 12
    s32i    a15, a1, 16
    mov     a12, a2
    mov     a13, a3
    mov     a14, a4
    mov     a15, a5
    movi    a0, Cache_Read_Disable
    callx0  a0
    mov     a2, a13
    mov     a3, a14
    mov     a4, a15
    callx0  a12
    mov     a12, a2
    movi    a2, 0
    movi    a3, 0
    movi    a4, 0
    movi    a0, Cache_Read_Enable
    callx0  a0
    mov     a2, a12
    l32i    a0, a1, 0
    l32i    a12, a1, 4
    l32i    a13, a1, 8
    l32i    a14, a1, 12
    l32i    a15, a1, 16
    addi    a1, a1, 32
    ret

    .align  4
    .global board_flash_id
    .type   board_flash_id, @function
board_flash_id:                     /* () -> u32: for board_flash; the controller's RDID: manufacturer, type, capacity */
    movi    a3, 0x60000200
    movi    a2, 0
    s32i    a2, a3, 0x40
    movi    a2, 0x10000000
    s32i    a2, a3, 0
1:  l32i    a2, a3, 0
    bnez    a2, 1b
    l32i    a2, a3, 0x40
    ret

    .align  4
    .global board_cycles
    .type   board_cycles, @function
board_cycles:                       /* () -> u32 */
    rsr.ccount a2
    ret

    .align  4
    .global board_wait
    .type   board_wait, @function
board_wait:                         /* (cycles: u32) */
    rsil    a4, 1                   /* an interrupt before the WAITI stays pending and ends it at once */
    rsr.ccount a3
    add     a3, a3, a2
    wsr.ccompare0 a3
    movi    a3, 0x61                /* the timer (6), the UARTs (5), the paravirtual device (0) */
    wsr.intenable a3
    rsync
    waiti   0
    ret

    .align  4
    .global abort
    .type   abort, @function
abort:                              /* rustc's traps call it; BREAK arrives at the debug vector with its address */
    break   1, 15
    j       abort

    .section .note.GNU-stack, "", @progbits
