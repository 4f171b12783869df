/* Prints the kernel path that NN_ISA and this CPU lead to. */
#define NN_IMPLEMENTATION
#include "../nn.h"

int main(void) { return puts(nn_kernel_path()) < 0; }
