using System.Collections.Concurrent;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>
/// The launch of tensor_attention.cu: attention in float16 on the tensor cores. The text is compiled for the width of a head.
/// </summary>
/// <param name="Width">Channels of a head, of query, key and value.</param>
/// <param name="QueryWarps">Warps with queries of their own that share tiles of keys.</param>
/// <param name="KeyWarps">Groups of such warps that share the keys between them.</param>
/// <param name="HasBias">Whether scores differ in their bias.</param>
/// <param name="HasBiasPairs">Whether the biases of two neighbouring keys can be loaded at once.</param>
/// <param name="IsBoxRelative">Whether the bias is that of a map's columns and rows.</param>
/// <param name="IsCosine">Whether queries and keys are divided by their norms.</param>
/// <param name="HasMarks">Whether marks tell what belongs together.</param>
internal readonly record struct TensorAttention(
    int Width, int QueryWarps, int KeyWarps, bool HasBias, bool HasBiasPairs, bool IsBoxRelative, bool IsCosine, bool HasMarks)
{
    private const int FirstArchitecture = 80;
    private const int RowsPerWarp = 16;
    private const int TileKeys = 64;
    private const int LargestWidth = 128;

    private static readonly ConcurrentDictionary<TensorAttention, CudaProgram> Programs = new();

    private int Rows => RowsPerWarp * QueryWarps;

    /// <summary>The kernel for inputs that it can take; null for others.</summary>
    public static TensorAttention? For<T>(in AttentionInputs<T> inputs, bool isCosine = false, bool hasMarks = false) where T : unmanaged
    {
        var device = CudaDriver.Instance.CurrentDevice;
        var width = inputs.QueryWidth;
        if (typeof(T) != typeof(Half) || device.Architecture < FirstArchitecture || inputs.ValueWidth != width || width % 16 != 0
            || width > LargestWidth || (isCosine && !int.IsPow2(width)) || inputs.Keys == 0
            || (inputs.Query.Stride | inputs.Key.Stride | inputs.Value.Stride) % 8 != 0)
            return null;
        // As many queries a block as leave a block for each multiprocessor; where that is one warp's, others share its keys.
        var blocks = (long)inputs.Batch * inputs.Heads * ((inputs.Queries + (4 * RowsPerWarp) - 1) / (4 * RowsPerWarp));
        var queryWarps = blocks >= device.Multiprocessors ? 4 : 1;
        var keyWarps = queryWarps > 1 || inputs.Keys <= TileKeys ? 1 : inputs.Keys <= 2 * TileKeys ? 2 : 4;
        var layout = inputs.BiasLayout;
        var isBoxRelative = inputs.BoxBias.IsPresent;
        var attention = new TensorAttention(
            width, queryWarps, keyWarps, isBoxRelative || !layout.IsScalar,
            !isBoxRelative && layout.Key == 1 && inputs.Keys % 2 == 0 && (layout.Query | layout.Head | layout.Batch) % 2 == 0,
            isBoxRelative, isCosine, hasMarks);
        return attention.SharedBytes(inputs.BoxBias) <= device.SharedMemoryPerBlock ? attention : null;
    }

    /// <param name="stream">ONNX Runtime's stream.</param>
    /// <param name="inputs">The inputs of the call.</param>
    /// <param name="output">[N, L, heads * width]</param>
    /// <param name="logSumExp">[N, heads, L] or null.</param>
    /// <param name="cosine">What cosine attention has besides.</param>
    public unsafe void Launch<T>(
        nint stream, in AttentionInputs<T> inputs, T* output, float* logSumExp, in CosineArguments<T> cosine = default)
        where T : unmanaged
    {
        var blocks = (inputs.Queries + Rows - 1) / Rows;
        var program = Programs.GetOrAdd(this, static attention => CudaProgram.For<Half>("tensor_attention.cu", attention.Defines()));
        program.Function("attend").Launch(
            stream, new((long)inputs.Batch * inputs.Heads * blocks), 32 * QueryWarps * KeyWarps, SharedBytes(inputs.BoxBias),
            new Parameters<T>
            {
                Query = inputs.Query.At(0),
                Key = inputs.Key.At(0),
                Value = inputs.Value.At(0),
                Bias = inputs.Bias,
                Output = output,
                LogSumExp = logSumExp,
                Cosine = cosine,
                RowBlocks = blocks,
                Sizes = MultiHeadAttentionParameters.Of(inputs),
            });
    }

    private int SharedBytes(in BoxBias bias)
    {
        var tile = (2 * TileKeys * (Width + 8) * sizeof(ushort)) + ((IsCosine ? TileKeys : 0) + (HasMarks ? TileKeys : 0)) * sizeof(float);
        return (KeyWarps * tile) + (IsBoxRelative ? Rows * (bias.ColumnCount + bias.RowCount) * sizeof(float) : 0);
    }

    private string[] Defines() =>
    [
        $"WIDTH={Width}", $"QUERY_WARPS={QueryWarps}", $"KEY_WARPS={KeyWarps}", .. If(HasBias, "BIAS"), .. If(HasBiasPairs, "BIAS_PAIRS"),
        .. If(IsBoxRelative, "BOX_BIAS"), .. If(IsCosine, "COSINE"), .. If(HasMarks, "MARKS"),
    ];

    private static string[] If(bool holds, string define) => holds ? [define] : [];

    private unsafe struct Parameters<T> where T : unmanaged
    {
        public T* Query;
        public T* Key;
        public T* Value;
        public T* Bias;
        public T* Output;
        public float* LogSumExp;
        public CosineArguments<T> Cosine;
        public int RowBlocks;
        public MultiHeadAttentionParameters Sizes;
    }
}

/// <summary>What cosine attention has besides queries, keys, values and bias; part of the parameters of its kernels.</summary>
internal unsafe struct CosineArguments<T> where T : unmanaged
{
    /// <summary>[heads]</summary>
    public float* HeadScale;

    /// <summary>One-hot, [mark count, L, mark width]; null for none.</summary>
    public T* Marks;

    public int MarkCount;
    public int MarkWidth;
}
