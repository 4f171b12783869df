/* Compiles nn.h's body after the macros that windows.h, X11, curses, complex.h, Arduino and careless
   headers define: no name, member or parameter of nn.h is one of them. Those of the C library's own
   headers are included first, as nn.h would. */
#include <float.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__unix__)
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#define A hostile @
#define ALIGN hostile @
#define Always hostile @
#define B hostile @
#define BLOCK hostile @
#define Bool hostile @
#define C hostile @
#define CONST hostile @
#define COUNT hostile @
#define Complex hostile @
#define CurrentTime hostile @
#define D hostile @
#define DEFAULT hostile @
#define DELETE hostile @
#define E hostile @
#define EOL hostile @
#define EPS hostile @
#define ERR hostile @
#define ERROR hostile @
#define F hostile @
#define FALSE hostile @
#define False hostile @
#define G hostile @
#define H hostile @
#define HEIGHT hostile @
#define HIGH hostile @
#define I hostile @
#define IN hostile @
#define INPUT hostile @
#define K hostile @
#define L hostile @
#define LOW hostile @
#define M hostile @
#define N hostile @
#define None hostile @
#define OK hostile @
#define OPTIONAL hostile @
#define OUT hostile @
#define OUTPUT hostile @
#define P hostile @
#define PI hostile @
#define R hostile @
#define RANK hostile @
#define ROOM hostile @
#define S hostile @
#define SHARED hostile @
#define SIZE hostile @
#define Status hostile @
#define Success hostile @
#define T hostile @
#define TRUE hostile @
#define True hostile @
#define U hostile @
#define V hostile @
#define VOID hostile @
#define W hostile @
#define WIDTH hostile @
#define X hostile @
#define Y hostile @
#define Z hostile @
#define _Complex_I hostile @
#define bit(b) hostile @
#define boolean hostile @
#define box(a,b,c) hostile @
#define byte hostile @
#define check hostile @
#define clear() hostile @
#define echo() hostile @
#define erase() hostile @
#define fail hostile @
#define far hostile @
#define hyper hostile @
#define interface hostile @
#define linux hostile @
#define major hostile @
#define makedev hostile @
#define max(a,b) hostile @
#define min(a,b) hostile @
#define minor hostile @
#define move(y,x) hostile @
#define near hostile @
#define refresh() hostile @
#define round(x) hostile @
#define small hostile @
#define sq(x) hostile @
#define stdscr hostile @
#define swap(a,b) hostile @
#define timeout(x) hostile @
#define unix hostile @
#define word hostile @

#define NN_IMPLEMENTATION
#include "../nn.h"

int main(void) { return nn_kernel_path()[0] == 0; }
