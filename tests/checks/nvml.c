/* Three made-up boards behind the functions of NVIDIA's management library: a whole one, one without a fan that is divided,
   and one that falls off the bus while it is asked. */
#include <stdio.h>

enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7, LOST = 15 };

typedef struct { int number; } Board;
typedef unsigned long long u64;
typedef struct { unsigned version; u64 total, reserved, free, used; } Memory;
typedef struct { unsigned gpu, memory; } Share;
typedef struct { u64 total, free, used; } Window;

static Board boards[3] = { { 0 }, { 1 }, { 2 } };

int nvmlInit_v2(void) { return OK; }
int nvmlShutdown(void) { return OK; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 4; return OK; }

int nvmlDeviceGetHandleByIndex_v2(unsigned number, Board **board) {
    if (number > 2) return LOST;
    *board = &boards[number];
    return OK;
}

int nvmlDeviceGetUUID(Board *board, char *text, unsigned length) {
    snprintf(text, length, "GPU-d37e-%d", board->number);
    return OK;
}

int nvmlDeviceGetName(Board *board, char *text, unsigned length) {
    snprintf(text, length, "Tesla T%d", 4 + board->number);
    return OK;
}

int nvmlDeviceGetMemoryInfo_v2(Board *board, Memory *memory) {
    if (board->number == 2) return LOST;
    memory->total = 15360ull << 20;
    memory->reserved = 388ull << 20;
    memory->used = 1032ull << 20;
    memory->free = 13939ull << 20;
    return OK;
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(Board *board, unsigned *count, void *infos) {
    (void)board; (void)infos;
    *count = 1;
    return INSUFFICIENT_SIZE;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Board *board, unsigned *count, void *infos) {
    (void)infos;
    *count = board->number;
    return board->number ? INSUFFICIENT_SIZE : OK;
}

int nvmlDeviceGetUtilizationRates(Board *board, Share *share) {
    if (board->number) return NOT_SUPPORTED;
    share->gpu = 97;
    share->memory = 41;
    return OK;
}

int nvmlDeviceGetTemperature(Board *board, int sensor, unsigned *degrees) {
    if (sensor) return INVALID;
    *degrees = 40 + board->number;
    return OK;
}

int nvmlDeviceGetClockInfo(Board *board, int kind, unsigned *clock) {
    *clock = 1000 * kind + 585 + board->number;
    return OK;
}

int nvmlDeviceGetBAR1MemoryInfo(Board *board, Window *window) {
    (void)board;
    window->total = 256ull << 20;
    window->used = 5ull << 20;
    window->free = 251ull << 20;
    return OK;
}

int nvmlDeviceGetFanSpeed_v2(Board *board, unsigned fan, unsigned *percent) {
    (void)fan;
    if (board->number) return NOT_SUPPORTED;
    *percent = 33;
    return OK;
}

int nvmlDeviceGetPowerUsage(Board *board, unsigned *milliwatts) {
    (void)board;
    *milliwatts = 26780;
    return OK;
}
