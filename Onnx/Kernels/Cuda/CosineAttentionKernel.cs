namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>
/// Cosine attention on CUDA: in half on the tensor cores in one kernel; else queries and keys are normalised, and get the marks as further
/// channels, before ordinary attention.
/// </summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class CosineAttentionKernel<T>(KernelAttributes attributes, bool hasMarks) : IKernel
    where T : unmanaged
{
    private const int Threads = 256;
    private const int RowsPerBlock = Threads / 32;
    private const int LargestMarkWidth = 32;

    private static readonly CudaProgram Program = CudaProgram.For<T>("cosine_rows.cu");

    private readonly int _heads = attributes.PositiveInt("num_heads");

    public void Compute(KernelContext context)
    {
        var packed = context.Input(0).Expect("[N, L, 3 * C]", -1, -1, -1);
        var (batch, length, row) = (packed.Shape[0], packed.Shape[1], packed.Shape[2]);
        var channels = row / 3;
        if (row % (3 * _heads) != 0)
            throw new KernelException($"input 'packed' has {row} channels, expected a multiple of 3 * num_heads = {3 * _heads}");
        var bias = context.Input(2);
        var data = packed.Data<T>();
        var inputs = new AttentionInputs<T>
        {
            Batch = batch, Heads = _heads, Queries = length, Keys = length, QueryChannels = channels, ValueChannels = channels, Scale = 1,
            Query = new(data, row), Key = new(data + channels, row), Value = new(data + (2 * channels), row),
            Bias = bias.Data<T>(),
            BiasLayout = new BiasLayout(bias, batch, _heads, length, length),
        };
        var cosine = new CosineArguments<T> { HeadScale = context.Input(1).Expect("[num_heads]", _heads).Data<float>() };
        if (hasMarks)
        {
            var marks = context.Input(3).Expect("[W, L, M]", -1, length, -1);
            cosine.Marks = marks.Data<T>();
            (cosine.MarkCount, cosine.MarkWidth) = (marks.Shape[0], marks.Shape[2]);
            if (cosine.MarkCount == 0 || batch % cosine.MarkCount != 0 || cosine.MarkWidth > LargestMarkWidth)
            {
                throw new KernelException(
                    $"input 'marks' has shape {marks.Shape}, expected a number of windows that divides {batch}, and at most {LargestMarkWidth} marks");
            }
        }
        var output = context.Output<T>(0, batch, length, channels);
        if (TensorAttention.For(inputs, isCosine: true, hasMarks) is { } attention)
        {
            attention.Launch(context.Stream, inputs, output, null, cosine);
            return;
        }
        var stream = context.Stream;
        var width = (channels / _heads) + cosine.MarkWidth;
        var count = (long)batch * length * _heads;
        using var memory = context.Allocate(2 * count * width * sizeof(T));
        var query = (T*)memory.Data;
        var key = query + (count * width);
        Normalize(inputs.Query, query, cosine.HeadScale);
        Normalize(inputs.Key, key, null);
        (inputs.Query, inputs.Key, inputs.QueryChannels) = (new(query, _heads * width), new(key, _heads * width), _heads * width);
        MultiHeadAttentionKernel<T>.Launch(stream, inputs, output, null);

        void Normalize(AttentionRows<T> rows, T* result, float* scale) => Program.Function("normalize").Launch(
            stream, new((count + RowsPerBlock - 1) / RowsPerBlock), Threads, 0, new Rows
            {
                Source = rows.At(0),
                Scale = scale,
                Marks = cosine.Marks,
                Result = result,
                Count = count,
                Positions = length,
                Heads = _heads,
                Width = channels / _heads,
                Row = row,
                MarkCount = Math.Max(cosine.MarkCount, 1),
                MarkWidth = cosine.MarkWidth,
            });
    }

    public void Dispose()
    {
    }

    private struct Rows
    {
        public T* Source;
        public float* Scale;
        public T* Marks;
        public T* Result;
        public long Count;
        public int Positions;
        public int Heads;
        public int Width;
        public int Row;
        public int MarkCount;
        public int MarkWidth;
    }
}
