/* Stands in for NVIDIA's libnvidia-ml.so.1: what a board answers stands in the file that TONNE_TEST_NVML names, a line
   for each answer, "BOARD KEY VALUE". A key that is not there is not supported; the value "lost" is a board that fell
   off the bus. "watts" makes the energy counter follow the monotonic clock. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15, BOARDS = 64, SLICES = 8 };

static int handles[BOARDS];
static int slices[BOARDS * SLICES];
static int starts;

static int answer(int board, const char *key, char *value, size_t size) {
    const char *path = getenv("TONNE_TEST_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[256], name[64], text[160];
    int number, found = NOT_SUPPORTED;
    if (!starts) return UNINITIALIZED;
    if (!file) return NOT_SUPPORTED;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%d %63s %159[^\n]", &number, name, text) == 3 && number == board && !strcmp(name, key)) {
            found = strcmp(text, "lost") ? SUCCESS : GPU_IS_LOST;
            snprintf(value, size, "%s", text);
        }
    }
    fclose(file);
    return found;
}

static int whole(int board, const char *key, unsigned long long *value) {
    char text[160];
    int status = answer(board, key, text, sizeof text);
    if (status == SUCCESS) *value = strtoull(text, NULL, 10);
    return status;
}

static int small(int board, const char *key, unsigned int *value) {
    unsigned long long wide = 0;
    int status = whole(board, key, &wide);
    if (status == SUCCESS) *value = (unsigned int)wide;
    return status;
}

static int text(int board, const char *key, char *value, unsigned int size) { return answer(board, key, value, size); }

static int start(void) {
    unsigned int refused;
    starts++;
    if (small(-1, "init", &refused) != SUCCESS) return SUCCESS;
    starts--;
    return (int)refused;
}

int nvmlInitWithFlags(unsigned int flags) { (void)flags; return start(); }
int nvmlInit_v2(void) { return start(); }
int nvmlShutdown(void) { if (!starts) return UNINITIALIZED; starts--; return SUCCESS; }
const char *nvmlErrorString(int status) { return status == GPU_IS_LOST ? "GPU is lost" : status == NOT_SUPPORTED ? "Not Supported" : "Error"; }
int nvmlSystemGetDriverVersion(char *version, unsigned int size) { snprintf(version, size, "580.00"); return SUCCESS; }
int nvmlDeviceGetCount_v2(unsigned int *count) { return small(-1, "count", count); }

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, int **device) {
    if (index >= BOARDS) return INVALID_ARGUMENT;
    handles[index] = (int)index;
    *device = &handles[index];
    return SUCCESS;
}

int nvmlDeviceGetName(int *device, char *name, unsigned int size) { return text(*device, "name", name, size); }
int nvmlDeviceGetArchitecture(int *device, unsigned int *kind) { return small(*device, "architecture", kind); }
int nvmlDeviceGetPowerUsage(int *device, unsigned int *milliwatts) { return small(*device, "power_mw", milliwatts); }

int nvmlDeviceGetUUID(int *device, char *uuid, unsigned int size) {
    if (device >= slices && device < slices + BOARDS * SLICES) {
        char key[32];
        snprintf(key, sizeof key, "slice_uuid_%d", *device % SLICES);
        return text(*device / SLICES, key, uuid, size);
    }
    return text(*device, "uuid", uuid, size);
}

int nvmlDeviceGetTotalEnergyConsumption(int *device, unsigned long long *millijoules) {
    unsigned long long watts;
    struct timespec now;
    int status = whole(*device, "watts", &watts);
    if (status == GPU_IS_LOST) return status;
    if (status != SUCCESS) return whole(*device, "energy_mj", millijoules);
    clock_gettime(CLOCK_MONOTONIC, &now);
    *millijoules = watts * 1000ULL * (unsigned long long)now.tv_sec + watts * ((unsigned long long)now.tv_nsec / 1000000ULL);
    return SUCCESS;
}

int nvmlDeviceGetPowerManagementLimitConstraints(int *device, unsigned int *least, unsigned int *most) {
    if (small(*device, "least_mw", least) != SUCCESS) *least = 0;
    return small(*device, "limit_mw", most);
}

int nvmlDeviceGetPowerManagementLimit(int *device, unsigned int *milliwatts) { return small(*device, "cap_mw", milliwatts); }

/* Where the board says "caps", the cap is set: a further line of the file, which holds from then on. */
int nvmlDeviceSetPowerManagementLimit(int *device, unsigned int milliwatts) {
    unsigned int permitted;
    FILE *file;
    if (small(*device, "caps", &permitted) != SUCCESS) return NO_PERMISSION;
    file = fopen(getenv("TONNE_TEST_NVML"), "a");
    if (!file) return NO_PERMISSION;
    fprintf(file, "%d cap_mw %u\n", *device, milliwatts);
    fclose(file);
    return SUCCESS;
}

int nvmlDeviceGetMigMode(int *device, unsigned int *now, unsigned int *later) {
    int status = small(*device, "mig", now);
    *later = *now;
    return status;
}

int nvmlDeviceGetMaxMigDeviceCount(int *device, unsigned int *count) { return small(*device, "slices", count); }

int nvmlDeviceGetMigDeviceHandleByIndex(int *device, unsigned int index, int **slice) {
    char key[32];
    unsigned int taken;
    if (index >= SLICES) return INVALID_ARGUMENT;
    snprintf(key, sizeof key, "slice_%u", index);
    if (small(*device, key, &taken) != SUCCESS) return NOT_FOUND;
    slices[*device * SLICES + (int)index] = *device * SLICES + (int)index;
    *slice = &slices[*device * SLICES + (int)index];
    return SUCCESS;
}

struct attributes {
    unsigned int multiprocessors, copy, decoder, encoder, jpeg, ofa, gpu_slices, compute_slices;
    unsigned long long memory_mb;
};

int nvmlDeviceGetAttributes_v2(int *slice, struct attributes *told) {
    char key[32];
    memset(told, 0, sizeof *told);
    snprintf(key, sizeof key, "slice_%d", *slice % SLICES);
    return small(*slice / SLICES, key, &told->gpu_slices);
}

struct process {
    unsigned int pid;
    unsigned long long used;
    unsigned int gpu_instance, compute_instance;
};

/* "processes PID:BYTES,PID:BYTES" */
int nvmlDeviceGetComputeRunningProcesses_v3(int *device, unsigned int *count, struct process *found) {
    char told[160], *rest, *one;
    unsigned int room = *count, number = 0;
    int status = answer(*device, "processes", told, sizeof told);
    if (status != SUCCESS) return status;
    for (one = strtok_r(told, ",", &rest); one; one = strtok_r(NULL, ",", &rest), number++) {
        if (found && number < room) {
            memset(&found[number], 0, sizeof *found);
            sscanf(one, "%u:%llu", &found[number].pid, &found[number].used);
        }
    }
    *count = number;
    return number > room || !found ? (number ? INSUFFICIENT_SIZE : SUCCESS) : SUCCESS;
}

struct sample {
    unsigned int pid;
    unsigned long long time_us;
    unsigned int busy, memory, encoder, decoder;
};

/* "utilisation PID:TIME_US:PERCENT,..." */
int nvmlDeviceGetProcessUtilization(int *device, struct sample *found, unsigned int *count, unsigned long long since_us) {
    char told[160], *rest, *one;
    unsigned int room = *count, number = 0;
    int status = answer(*device, "utilisation", told, sizeof told);
    if (status != SUCCESS) return status;
    for (one = strtok_r(told, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
        struct sample sample = {0};
        sscanf(one, "%u:%llu:%u", &sample.pid, &sample.time_us, &sample.busy);
        if (sample.time_us <= since_us) continue;
        if (found && number < room) found[number] = sample;
        number++;
    }
    *count = number;
    if (!number) return NOT_FOUND;
    return !found || number > room ? INSUFFICIENT_SIZE : SUCCESS;
}
