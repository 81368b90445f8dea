/* How well the clock of this machine is kept, as the kernel knows it from whatever sets it (chrony, ntpd, timesyncd).
 * Tells: clock_synchronized (0 or 1), clock_offset_seconds where the kernel itself slews the clock (ntpd, timesyncd), clock_max_error_seconds, clock_estimated_error_seconds, clock_frequency_ppm.
 * Needs: a C compiler, once:
 *     cc -O2 -o scripts_enabled/check_clock_sync scripts_available/clock_sync.c
 */
#include <stdio.h>
#include <sys/timex.h>

int main(void)
{
    struct timex clock = {0}; /* modes = 0: only asks */
    int state = adjtimex(&clock);
    if (state < 0) {
        perror("adjtimex");
        return 1;
    }
    double part = clock.status & STA_NANO ? 1e-9 : 1e-6;
    printf("clock_synchronized %d clock stack\n", state != TIME_ERROR && !(clock.status & STA_UNSYNC));
    /* Without the kernel's own loop (chrony does without) nobody tells the kernel, and it has 0. */
    if (clock.status & (STA_PLL | STA_FLL))
        printf("clock_offset_seconds %.9f clock stack\n", clock.offset * part);
    printf("clock_max_error_seconds %.6f clock stack\n", clock.maxerror * 1e-6);
    printf("clock_estimated_error_seconds %.6f clock stack\n", clock.esterror * 1e-6);
    printf("clock_frequency_ppm %.6f clock stack\n", clock.freq / 65536.0);
    return 0;
}
