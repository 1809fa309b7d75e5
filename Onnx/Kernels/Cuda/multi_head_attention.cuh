// The sizes of multi-head attention; the same struct is in MultiHeadAttentionParameters.cs.

struct Sizes
{
    int batch;
    int heads;
    int queries;
    int keys;
    int query_row;  // elements from one position to the next
    int key_row;
    int value_row;
    int output_row;
    long long bias_batch;  // strides of the bias, 0 where it repeats
    long long bias_head;
    long long bias_query;
    long long bias_key;
    const float* box_columns;     // with BOX_BIAS: [N, L, W, heads]
    const float* box_rows;        // [N, L, H, heads]
    const long long* box_extent;  // [N, 2], rows and columns that are not padding
    int column_count;
    int row_count;
    float scale;
};

// Where the channels of a head begin in the rows of a sequence.
__device__ __forceinline__ long long start_of(long long sequence, int positions, int row, int head, int width)
{
    return sequence * positions * row + head * width;
}

__device__ __forceinline__ float negative_infinity()
{
    return __int_as_float(0xff800000);
}
