/*  program.h - what every program in this folder needs around its network: options with --help, a
    folder for what it writes, and an end with a message when something is missing.

    Include it in one source file; all functions are static. What goes wrong ends the program with a
    message on stderr and status 1, or 2 for a bad option. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#ifdef _WIN32
#include <direct.h>
#endif

#if defined(__GNUC__) || defined(__clang__)
#define PROGRAM_DEF __attribute__((unused)) static
#define PROGRAM_PRINTF(at, first) __attribute__((unused, format(printf, at, first))) static
#define PROGRAM_NORETURN __attribute__((noreturn))
#else
#define PROGRAM_DEF static
#define PROGRAM_PRINTF(at, first) static
#define PROGRAM_NORETURN
#endif

enum { PROGRAM_PATH = 1024 };

typedef struct program_option {
    const char *name;  /* "--data" */
    const char *value; /* what --help calls its value, "DIR"; NULL when it takes none */
    const char *about;
    const char **text; /* set to the value, or to the name when it takes none */
} program_option;

static const char *program_name = "program"; /* set by program_options */

/* Ends the program with "NAME: " and the message. */
PROGRAM_NORETURN PROGRAM_PRINTF(2, 3) void program_stop(int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", program_name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(status);
}

static void program__help(const char *about, size_t count, const program_option *options)
{
    size_t width = 10; /* of the widest option with its value */
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(options[i].name) + 1 + (options[i].value ? strlen(options[i].value) : 0);
        if (n > width) width = n;
    }
    printf("%s\n%s\n\n", program_name, about);
    for (size_t i = 0; i < count; i++)
        printf("  %s %-*s  %s\n", options[i].name, (int)(width - strlen(options[i].name) - 1),
               options[i].value ? options[i].value : "", options[i].about);
    printf("  %-*s  this text\n", (int)width, "--help");
    exit(0);
}

/* Reads the command line. --help prints `about` and the options and ends the program. */
PROGRAM_DEF void program_options(int argc, char **argv, const char *name, const char *about,
                                 size_t count, const program_option *options)
{
    program_name = name;
    for (int i = 1; i < argc; i++) {
        const char *given = argv[i];
        size_t k = 0;
        if (!strcmp(given, "--help")) program__help(about, count, options);
        while (k < count && strcmp(given, options[k].name) != 0) k++;
        if (k == count) program_stop(2, "unknown option %s (--help lists them)", given);
        if (options[k].value && ++i == argc)
            program_stop(2, "%s wants a value (--help)", given);
        *options[k].text = argv[i];
    }
}

/* A whole number from `least` to `most` in the value of an option. */
PROGRAM_DEF unsigned long long program_number(const char *option, const char *text,
                                              unsigned long long least, unsigned long long most)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || n < least || n > most)
        program_stop(2, "%s wants a whole number from %llu to %llu, not \"%s\"", option, least,
                     most, text);
    return n;
}

/* FOLDER/FILE. Valid until the next call. */
PROGRAM_DEF const char *program_path(const char *folder, const char *file)
{
    static char path[PROGRAM_PATH];
    int n = snprintf(path, sizeof path, "%s/%s", folder, file);
    if (n < 0 || (size_t)n >= sizeof path) program_stop(1, "%s/%s is too long", folder, file);
    return path;
}

/* 1 when the folder is there, made by this call or before. */
static int program__make_folder(const char *path)
{
#ifdef _WIN32
    return _mkdir(path) == 0 || errno == EEXIST;
#else
    struct stat found;
    return mkdir(path, 0777) == 0 || (stat(path, &found) == 0 && S_ISDIR(found.st_mode));
#endif
}

/* Makes a folder, and those that it lies in, where they are missing. */
PROGRAM_DEF void program_folder(const char *folder)
{
    char path[PROGRAM_PATH];
    snprintf(path, sizeof path, "%s", program_path(folder, ""));
    for (char *end = strchr(path + 1, '/'); end; end = strchr(end + 1, '/')) {
        *end = 0;
        if (!program__make_folder(path))
            program_stop(1, "cannot make the folder %s: %s", path, strerror(errno));
        *end = '/';
    }
}

/* Ends the program because a data set could not be loaded: says what to do about it. */
PROGRAM_DEF void program_no_data(const char *error, const char *set, const char *folder)
{
    program_stop(1, "%s\n%s is looked for in %s. `make data` puts MNIST into data/mnist (12 MB) "
                    "and CIFAR-10 into data/cifar10 (170 MB); --data DIR names another folder.",
                 error, set, folder);
}

static volatile sig_atomic_t program__is_interrupted;

static void program__interrupt(int number)
{
    program__is_interrupted = 1;
    signal(number, SIG_DFL); /* a second time ends the program at once */
}

/* From now on Ctrl-C is only noted, for program_interrupted. */
PROGRAM_DEF void program_catch_interrupt(void)
{
    program__is_interrupted = 0;
    signal(SIGINT, program__interrupt);
}

PROGRAM_DEF int program_interrupted(void) { return program__is_interrupted != 0; }

#endif /* PROGRAM_H */
