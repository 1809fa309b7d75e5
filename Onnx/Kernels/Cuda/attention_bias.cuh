// The biases of multi-head attention: one that broadcasts, or with BOX_BIAS that of the columns and rows of a map.

#define PADDING_PENALTY 100.0f

// The bias of a score, in the unit of the scores.
__device__ __forceinline__ float bias_of(const T* bias, const Sizes& s, long long sequence, int head, int query, int key)
{
#ifdef BOX_BIAS
    const int y = key / s.column_count, x = key - y * s.column_count;
    const long long row = sequence * s.queries + query;
    const float sum = s.box_columns[(row * s.column_count + x) * s.heads + head] + s.box_rows[(row * s.row_count + y) * s.heads + head];
    const bool is_padding = y >= s.box_extent[2 * sequence] || x >= s.box_extent[2 * sequence + 1];
    return (is_padding ? sum - PADDING_PENALTY : sum) * LOG2_E;
#else
    return load(bias + sequence * s.bias_batch + head * s.bias_head + query * s.bias_query + key * s.bias_key) * LOG2_E;
#endif
}
