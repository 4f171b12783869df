/* 784-64-10 as `real_data export` has exported it, mnist.c (-DNETWORK=...), on the test images: their
   outputs are the library's, bit for bit. The int8
   export only has its own test. exported_mnist IMAGES OUTPUTS */
#include NETWORK
#include INT8
#include <stdio.h>

int main(int argc, char **argv)
{
    unsigned char image[784];
    float expected[10], out[10];
    int images = 0, differ = 0;
    FILE *in = argc > 2 ? fopen(argv[1], "rb") : NULL, *want = in ? fopen(argv[2], "rb") : NULL;
    if (!want || fseek(in, 16, SEEK_SET) != 0) return 2;
    while (fread(image, sizeof image, 1, in) == 1 && fread(expected, sizeof expected, 1, want) == 1) {
        mnist_predict_raw(image, out);
        differ += memcmp(out, expected, sizeof out) != 0;
        images++;
    }
    printf("%d images, %d differ; the tests give %d and %d\n", images, differ, mnist_test(),
           mnist8_test());
    return images != 10000 || differ || mnist_test() || mnist8_test();
}
