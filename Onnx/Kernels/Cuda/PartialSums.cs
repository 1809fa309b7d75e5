namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The last step of reductions that blocks do in parts: adds the parts up in a fixed order.</summary>
internal static unsafe class PartialSums
{
    private const int Columns = 32;

    /// <summary>WARPS of sum_partials.cu.</summary>
    private const int Warps = 16;

    /// <summary>How many parts a reduction is cut into, so that a few blocks run on every multiprocessor of a large device.</summary>
    /// <param name="blocks">Blocks in each part.</param>
    /// <param name="most">The number of pieces of work, each of which belongs to one part.</param>
    public static int Parts(long blocks, long most) => (int)Math.Clamp(1024 / Math.Max(blocks, 1), 1, Math.Max(most, 1));

    /// <summary>Adds [parts, width] up to [width].</summary>
    public static void Add<T>(nint stream, float* partials, T* sums, int parts, int width)
        where T : unmanaged
    {
        if (sums != null)
            Launch(stream, 1, new Parameters<T> { Partials = partials, First = sums, Parts = parts, Width = width });
    }

    /// <summary>Adds [parts, 2, width] up to [width] twice; where a result is null nobody asks for it.</summary>
    public static void AddPairs<T>(nint stream, float* partials, T* first, T* second, int parts, int width)
        where T : unmanaged =>
        Launch(stream, 2, new Parameters<T> { Partials = partials, First = first, Second = second, Parts = parts, Width = width });

    private static void Launch<T>(nint stream, int count, in Parameters<T> parameters)
        where T : unmanaged =>
        Programs<T>.Program.Function("sum_partials").Launch(
            stream, new((parameters.Width + Columns - 1) / Columns, count), Warps * 32, 0, parameters);

    private static class Programs<T>
        where T : unmanaged
    {
        public static readonly CudaProgram Program = CudaProgram.For<T>("sum_partials.cu");
    }

    private struct Parameters<T>
        where T : unmanaged
    {
        public float* Partials;
        public T* First;
        public T* Second;
        public int Parts;
        public int Width;
    }
}
