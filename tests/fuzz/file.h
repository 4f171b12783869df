/* For fuzz targets, after the body of nn.h: bytes as a file in memory that nn.h may free. */
static nn__file file_of(const uint8_t *bytes, size_t size)
{
    nn__file file;
    memset(&file, 0, sizeof file);
    file.path = "memory", file.size = size, file.bytes = (unsigned char *)malloc(size ? size : 1);
    if (size) memcpy(file.bytes, bytes, size);
    return file;
}
