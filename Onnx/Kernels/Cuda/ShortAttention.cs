using System.Collections.Concurrent;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>
/// The launch of short_attention.cu: whole sequences in a block, a thread one head of one position. The text is compiled for all sizes but
/// the number of sequences.
/// </summary>
internal readonly record struct ShortAttention(int QueryWidth, int ValueWidth, int Queries, int Keys, int Heads, bool HasBias)
{
    private const string Source = "short_attention.cu";
    private const int Longest = 32;
    private const int Widest = 16;
    private const int MostThreads = 512;
    private const int PreferredThreads = 256;
    private const int MostSharedFloats = 12 * 1024;

    private static readonly ConcurrentDictionary<(bool Half, ShortAttention Sizes), CudaProgram> Programs = new();

    /// <summary>Threads, and floats of shared memory, of a sequence.</summary>
    private int Threads => Math.Max(Queries, Keys) * Heads;

    private int Floats => Heads * (((QueryWidth + ValueWidth) * (Queries + Keys)) + (2 * Queries));

    /// <summary>Sequences of a block.</summary>
    private int Sequences => Math.Max(1, Math.Min(PreferredThreads / Threads, MostSharedFloats / Floats));

    /// <summary>The kernel for inputs whose sequences and heads are small enough; null for others.</summary>
    public static ShortAttention? For<T>(in AttentionInputs<T> inputs) where T : unmanaged
    {
        if (Math.Max(inputs.Queries, inputs.Keys) > Longest || Math.Max(inputs.QueryWidth, inputs.ValueWidth) > Widest
            || Math.Min(inputs.Queries, inputs.Keys) == 0 || inputs.BoxBias.IsPresent)
            return null;
        var sizes = new ShortAttention(
            inputs.QueryWidth, inputs.ValueWidth, inputs.Queries, inputs.Keys, inputs.Heads, !inputs.BiasLayout.IsScalar);
        return sizes.Threads <= MostThreads && sizes.Floats <= MostSharedFloats ? sizes : null;
    }

    public void Launch<T>(string function, nint stream, int batch, in ShortAttentionParameters<T> parameters) where T : unmanaged
    {
        var program = Programs.GetOrAdd(
            (typeof(T) == typeof(Half), this), static key => new CudaProgram(Source, key.Sizes.Defines(key.Half)));
        program.Function(function).Launch(
            stream, new((batch + Sequences - 1) / Sequences), Sequences * Threads, Sequences * Floats * sizeof(float), parameters);
    }

    private string[] Defines(bool half) =>
    [
        $"QUERY_WIDTH={QueryWidth}", $"VALUE_WIDTH={ValueWidth}", $"QUERIES={Queries}", $"KEYS={Keys}", $"HEADS={Heads}",
        $"SEQUENCES={Sequences}", $"THREADS={Sequences * Threads}",
        .. HasBias ? ["BIAS"] : Array.Empty<string>(), .. half ? ["T_HALF"] : Array.Empty<string>(),
    ];
}

/// <summary>The struct Parameters of short_attention.cu.</summary>
internal unsafe struct ShortAttentionParameters<T> where T : unmanaged
{
    public T* Query;
    public T* Key;
    public T* Value;
    public T* Bias;
    public T* Output;
    public float* LogSumExp;
    public T* OutputGrad;
    public float* OutputProducts;
    public T* QueryGrad;
    public T* KeyGrad;
    public T* ValueGrad;
    public MultiHeadAttentionParameters Sizes;
}
