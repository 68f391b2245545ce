/* Start-up, exception vectors and simcalls on QEMU's LX106; call0 ABI: arguments and results in a2.., a1 is the stack.
   Offsets of the vectors from VECBASE and the numbers of PS: Xtensa ISA, exception option; QEMU's core-lx106. */

    .section .vectors, "ax"
    .align 256
    .global lx106_vectors
lx106_vectors:
    .org 0x10                       /* debug: a BREAK */
    movi    a7, 1
    j       report
    .org 0x20                       /* non-maskable interrupt */
    movi    a7, 2
    j       report
    .org 0x30                       /* exception with PS.UM 0 */
    movi    a7, 0
    j       report
    .org 0x50                       /* exception or interrupt with PS.UM 1 */
    wsr.excsave1 a7
    rsr.exccause a7
    beqi    a7, 4, interrupt
    movi    a7, 0
    j       report
    .org 0x70                       /* exception during an exception */
    movi    a7, 3
    j       report
    .org 0x80
interrupt:                          /* ends a wait: no interrupt is enabled but during one */
    movi    a7, 0
    wsr.intenable a7
    rsync
    rsr.excsave1 a7
    rfe

    .text
    .align  4
report:                             /* never returns, so every register but a0, a1 and a7 is free */
    mov     a5, a0
    mov     a6, a1
    rsr.epc1    a3
    beqi    a7, 1, 1f
    beqi    a7, 2, 2f
    beqi    a7, 3, 3f
    j       4f
1:  rsr.epc2    a3
    j       4f
2:  rsr.epc3    a3
    j       4f
3:  rsr.depc    a3
4:  rsr.exccause a2
    rsr.excvaddr a4
    movi    a1, lx106_exception_stack
    movi    a8, 0x2f                /* UM, no interrupts, EXCM 0: a fault in the report gets here again, not to 0x70 */
    wsr.ps  a8
    rsync
    movi    a0, lx106_exception
    callx0  a0

    .align  4
    .global _start
    .type   _start, @function
_start:
    movi    a1, lx106_stack
    movi    a2, lx106_vectors
    wsr.vecbase a2
    movi    a2, 0
    wsr.intenable a2
    movi    a3, 0x20                /* UM 1, EXCM 0, INTLEVEL 0 */
    wsr.ps  a3
    rsync
    movi    a3, lx106_bss_start
    movi    a4, lx106_bss_end
1:  bgeu    a3, a4, 2f
    s32i    a2, a3, 0
    addi    a3, a3, 4
    j       1b
2:  movi    a0, lx106_main
    callx0  a0                      /* its result, in a2, is the exit code */
    j       lx106_exit

    .align  4
    .global lx106_exit
    .type   lx106_exit, @function
lx106_exit:                         /* (code: u32) -> ! */
    mov     a3, a2
    movi    a2, 1                   /* simcall 1: exit */
    simcall
    j       lx106_exit

    .align  4
    .global lx106_write
    .type   lx106_write, @function
lx106_write:                        /* (descriptor: u32, bytes: *const u8, length: u32) -> written: i32 */
    mov     a5, a4
    mov     a4, a3
    mov     a3, a2
    movi    a2, 4                   /* simcall 4: write */
    simcall
    ret

    .align  4
    .global lx106_cycles
    .type   lx106_cycles, @function
lx106_cycles:                       /* () -> u32 */
    rsr.ccount a2
    ret

    .align  4
    .global lx106_wait
    .type   lx106_wait, @function
lx106_wait:                         /* (cycles: u32) */
    rsil    a4, 1                   /* an interrupt before the WAITI stays pending and ends it at once */
    rsr.ccount a3
    add     a3, a3, a2
    wsr.ccompare0 a3
    movi    a3, 0x7f                /* the timer (6) and the devices' level-triggered lines (0-5) */
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
