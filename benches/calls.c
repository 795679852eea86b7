/* The calls that the benches time, made without an interpreter between them.
 *
 * benches/common.py compiles this with `cc -O2 -pthread` into a temporary folder. Each mode prints one line of JSON.
 *
 *   calls time COMMAND ARG...         runs a program
 *   calls stat LIST READERS           stats each path of LIST (one a line)
 *   calls read LIST READERS           opens, reads to its end and closes each path of LIST
 *   calls list-read COUNT READERS     lists `.`, then reads the first COUNT files of it
 *   calls sequential FILE             reads FILE to its end, 1 MiB a call
 *   calls random FILE COUNT           COUNT reads of 4 KiB, anywhere in FILE
 *   calls map FILE                    maps FILE and touches every page, in order
 *   calls map-random FILE COUNT       the same, COUNT pages anywhere
 *   calls tree DIR                    lists DIR and all below it
 *   calls block DIR                   opens DIR and asks for its first names
 *   calls storm MOUNT LIST OLD NEW THREADS PAUSE_US
 *                                     single calls until stdin ends; what each cost, and which view it saw
 *
 * Readers are processes; LIST is shared out among them. Starting them is not timed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define BLOCK (1 << 20)

static void die(const char *what) {
    fprintf(stderr, "calls: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void report(int64_t begin, uint64_t items, uint64_t bytes) {
    printf("{\"seconds\": %.9f, \"items\": %llu, \"bytes\": %llu}\n", (now() - begin) / 1e9, (unsigned long long)items,
           (unsigned long long)bytes);
}

/* xorshift64*, so that every run visits the same places. */
static uint64_t next(uint64_t *state) {
    *state ^= *state >> 12, *state ^= *state << 25, *state ^= *state >> 27;
    return *state * 2685821657736338717ULL;
}

/* --- lists ---------------------------------------------------------------------------------------------- */

struct list {
    char **paths;
    size_t count, room;
};

static void add(struct list *list, char *path) {
    if (list->count == list->room) {
        list->room = list->room ? list->room * 2 : 1024;
        list->paths = realloc(list->paths, list->room * sizeof *list->paths);
        if (!list->paths) die("memory");
    }
    list->paths[list->count++] = path;
}

static struct list load(const char *path) {
    struct list list = {0};
    FILE *file = fopen(path, "r");
    if (!file) die(path);
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    while ((length = getline(&line, &room, file)) > 0) {
        if (line[length - 1] == '\n') line[length - 1] = 0;
        add(&list, strdup(line));
    }
    free(line);
    fclose(file);
    return list;
}

/* --- readers -------------------------------------------------------------------------------------------- */

static uint64_t read_whole(const char *path, char *buffer) {
    int file = open(path, O_RDONLY);
    if (file < 0) die(path);
    uint64_t bytes = 0;
    ssize_t got;
    while ((got = read(file, buffer, BLOCK)) > 0) bytes += got;
    if (got < 0) die(path);
    close(file);
    return bytes;
}

static uint64_t stat_one(const char *path, char *buffer) {
    (void)buffer;
    struct stat about;
    if (stat(path, &about)) die(path);
    return about.st_size;
}

static uint64_t share(const struct list *list, size_t first, size_t step, uint64_t (*each)(const char *, char *)) {
    char *buffer = malloc(BLOCK);
    if (!buffer) die("memory");
    memset(buffer, 0, BLOCK);
    uint64_t bytes = 0;
    for (size_t i = first; i < list->count; i += step) bytes += each(list->paths[i], buffer);
    free(buffer);
    return bytes;
}

/* `begin` is when the work began where there was work before; 0 begins it here. */
static void readers(const struct list *list, int count, uint64_t (*each)(const char *, char *), int64_t begin) {
    if (count <= 1) {
        begin = begin ? begin : now();
        uint64_t bytes = share(list, 0, 1, each);
        report(begin, list->count, bytes);
        return;
    }
    int gate[2], results[2];
    if (pipe(gate) || pipe(results)) die("pipe");
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        if (child < 0) die("fork");
        if (!child) {
            char wait;
            close(gate[1]);
            if (read(gate[0], &wait, 1) < 0) die("gate");
            uint64_t bytes = share(list, i, count, each);
            if (write(results[1], &bytes, sizeof bytes) != sizeof bytes) die("result");
            _exit(0);
        }
    }
    close(results[1]);
    begin = begin ? begin : now();
    close(gate[1]);
    uint64_t total = 0, bytes, answers = 0;
    while (read(results[0], &bytes, sizeof bytes) == sizeof bytes) total += bytes, answers++;
    if (answers != (uint64_t)count) die("a reader failed");
    report(begin, list->count, total);
    while (wait(NULL) > 0) {}
}

static void list_read(size_t count, int processes) {
    int64_t begin = now();
    struct list list = {0};
    DIR *folder = opendir(".");
    if (!folder) die(".");
    struct dirent *entry;
    /* To its end, as programs do: the names are sorted or shown before anything is read. */
    while ((entry = readdir(folder)))
        if (entry->d_name[0] != '.') add(&list, strdup(entry->d_name));
    closedir(folder);
    if (list.count > count) list.count = count;
    readers(&list, processes, read_whole, begin);
}

/* --- a large file --------------------------------------------------------------------------------------- */

static int open_large(const char *path, uint64_t *size) {
    int file = open(path, O_RDONLY);
    struct stat about;
    if (file < 0 || fstat(file, &about)) die(path);
    *size = about.st_size;
    return file;
}

static void random_reads(const char *path, uint64_t count) {
    uint64_t size, bytes = 0, state = 88172645463325252ULL;
    char buffer[PAGE];
    int file = open_large(path, &size);
    int64_t begin = now();
    for (uint64_t i = 0; i < count; i++) {
        ssize_t got = pread(file, buffer, PAGE, next(&state) % (size / PAGE) * PAGE);
        if (got < 0) die(path);
        bytes += got;
    }
    report(begin, count, bytes);
}

static void map(const char *path, uint64_t count) {
    uint64_t size, sum = 0, state = 88172645463325252ULL;
    int file = open_large(path, &size);
    int64_t begin = now();
    const volatile unsigned char *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
    if (bytes == MAP_FAILED) die(path);
    uint64_t pages = size / PAGE;
    for (uint64_t i = 0; i < (count ? count : pages); i++) sum += bytes[(count ? next(&state) % pages : i) * PAGE];
    munmap((void *)bytes, size);
    report(begin, count ? count : pages, sum);
}

/* --- folders -------------------------------------------------------------------------------------------- */

static uint64_t tree(int at, const char *name) {
    int folder = openat(at, name, O_RDONLY | O_DIRECTORY);
    DIR *stream = folder < 0 ? NULL : fdopendir(folder);
    if (!stream) die(name);
    struct dirent *entry;
    uint64_t files = 0;
    while ((entry = readdir(stream))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (entry->d_type == DT_DIR)
            files += tree(folder, entry->d_name);
        else
            files++;
    }
    closedir(stream);
    return files;
}

static long first_names(const char *path) {
    char names[32768];
    int folder = open(path, O_RDONLY | O_DIRECTORY);
    if (folder < 0) return -1;
    long got = syscall(SYS_getdents64, folder, names, sizeof names);
    close(folder);
    return got;
}

/* --- single calls while something changes --------------------------------------------------------------- */

#define SLOW 500000 /* ns: calls that are told one by one */
#define KEPT 4096   /* the most of them for each thread */

static const char *const KINDS[] = {"stat", "list", "open", "read"};

struct call {
    int64_t begin, took;
    int kind;
};

struct caller {
    pthread_t thread;
    int number;
    uint64_t made, kept;
    int64_t last_old, first_new;
    int last_old_kind;
    struct call slow[KEPT];
};

static struct {
    struct list list;
    const char *mount, *old, *new;
    int pause;
    atomic_int end;
} storm;

static void done(struct caller *caller, int kind, int64_t begin) {
    int64_t took = now() - begin;
    caller->made++;
    if (took > SLOW && caller->kept < KEPT) caller->slow[caller->kept++] = (struct call){begin, took, kind};
}

static void saw(struct caller *caller, int kind, int64_t begin, int is_new) {
    if (!is_new && begin > caller->last_old) caller->last_old = begin, caller->last_old_kind = kind;
    if (is_new && (!caller->first_new || begin < caller->first_new)) caller->first_new = begin;
}

static void *call_on(void *about) {
    struct caller *caller = about;
    uint64_t state = 88172645463325252ULL + caller->number * 7919;
    char path[8192], data[PAGE];
    while (!atomic_load(&storm.end)) {
        const char *name = storm.list.paths[next(&state) % storm.list.count];
        int in_new = next(&state) >> 63;
        snprintf(path, sizeof path, "%s/%s/%s", storm.mount, in_new ? storm.new : storm.old, name);
        int64_t begin = now();
        switch (caller->number % 3) {
        case 0: {
            struct stat file;
            int there = !stat(path, &file);
            done(caller, 0, begin);
            if (there || errno == ENOENT) saw(caller, 0, begin, there == in_new);
            break;
        }
        case 1: {
            char *slash = strrchr(path, '/');
            *slash = 0;
            int there = first_names(path) > 0;
            done(caller, 1, begin);
            saw(caller, 1, begin, there == in_new);
            break;
        }
        default: {
            int file = open(path, O_RDONLY);
            done(caller, 2, begin);
            if (file >= 0 || errno == ENOENT) saw(caller, 2, begin, (file >= 0) == in_new);
            if (file >= 0) {
                begin = now();
                if (read(file, data, sizeof data) < 0) die(path);
                done(caller, 3, begin);
                close(file);
            }
        }
        }
        if (storm.pause) usleep(storm.pause);
    }
    return NULL;
}

static void run_storm(char **args) {
    storm.mount = args[0], storm.list = load(args[1]), storm.old = args[2], storm.new = args[3];
    int count = atoi(args[4]);
    storm.pause = atoi(args[5]);
    struct caller *callers = calloc(count, sizeof *callers);
    if (!callers) die("memory");
    printf("ready\n");
    fflush(stdout);
    for (int i = 0; i < count; i++) {
        callers[i].number = i;
        if (pthread_create(&callers[i].thread, NULL, call_on, &callers[i])) die("thread");
    }
    char rest;
    while (read(0, &rest, 1) > 0) {}
    atomic_store(&storm.end, 1);
    uint64_t made = 0;
    int64_t last_old = 0, first_new = 0;
    int kind = 0;
    for (int i = 0; i < count; i++) {
        struct caller *caller = &callers[i];
        pthread_join(caller->thread, NULL);
        made += caller->made;
        if (caller->last_old > last_old) last_old = caller->last_old, kind = caller->last_old_kind;
        if (caller->first_new && (!first_new || caller->first_new < first_new)) first_new = caller->first_new;
    }
    printf("{\"calls\": %llu, \"last_old_ns\": %lld, \"last_old_kind\": \"%s\", \"first_new_ns\": %lld, \"slow\": [",
           (unsigned long long)made, (long long)last_old, KINDS[kind], (long long)first_new);
    const char *comma = "";
    for (int i = 0; i < count; i++)
        for (uint64_t j = 0; j < callers[i].kept; j++, comma = ", ")
            printf("%s[\"%s\", %lld, %lld]", comma, KINDS[callers[i].slow[j].kind], (long long)callers[i].slow[j].begin,
                   (long long)callers[i].slow[j].took);
    printf("]}\n");
}

/* -------------------------------------------------------------------------------------------------------- */

static int run_program(char **command) {
    int64_t begin = now();
    pid_t child = fork();
    if (child < 0) die("fork");
    if (!child) {
        int nothing = open("/dev/null", O_WRONLY);
        dup2(nothing, 1);
        execvp(command[0], command);
        die(command[0]);
    }
    int status;
    if (waitpid(child, &status, 0) < 0) die("wait");
    report(begin, 0, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int count, char **args) {
    const char *mode = count > 1 ? args[1] : "";
    if (!strcmp(mode, "time") && count > 2) return run_program(args + 2);
    if (!strcmp(mode, "stat") && count == 4) {
        struct list list = load(args[2]);
        readers(&list, atoi(args[3]), stat_one, 0);
    } else if (!strcmp(mode, "read") && count == 4) {
        struct list list = load(args[2]);
        readers(&list, atoi(args[3]), read_whole, 0);
    } else if (!strcmp(mode, "list-read") && count == 4) {
        list_read(strtoull(args[2], NULL, 10), atoi(args[3]));
    } else if (!strcmp(mode, "sequential") && count == 3) {
        char *buffer = malloc(BLOCK);
        if (!buffer) die("memory");
        memset(buffer, 0, BLOCK);
        int64_t begin = now();
        uint64_t bytes = read_whole(args[2], buffer);
        report(begin, 1, bytes);
    } else if (!strcmp(mode, "random") && count == 4) {
        random_reads(args[2], strtoull(args[3], NULL, 10));
    } else if (!strcmp(mode, "map") && count == 3) {
        map(args[2], 0);
    } else if (!strcmp(mode, "map-random") && count == 4) {
        map(args[2], strtoull(args[3], NULL, 10));
    } else if (!strcmp(mode, "tree") && count == 3) {
        int64_t begin = now();
        uint64_t files = tree(AT_FDCWD, args[2]);
        report(begin, files, 0);
    } else if (!strcmp(mode, "block") && count == 3) {
        int64_t begin = now();
        long got = first_names(args[2]);
        if (got < 0) die(args[2]);
        report(begin, 1, got);
    } else if (!strcmp(mode, "storm") && count == 8) {
        run_storm(args + 2);
    } else {
        fprintf(stderr, "calls: what it can do is said at the top of benches/calls.c\n");
        return 2;
    }
    return 0;
}
