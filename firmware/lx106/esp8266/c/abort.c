/* Ends the program with an illegal instruction: the SDK prints its address, keeps it for the next start and restarts. */
void abort(void) __attribute__((noreturn));

void __attribute__((section(".irom0.text"))) abort(void)
{
    for (;;) {
        __asm__ volatile("ill");
    }
}
