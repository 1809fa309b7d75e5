namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The last step of reductions that blocks do in parts: adds the parts up in a fixed order.</summary>
internal static unsafe class PartialSums
{
    private const int Threads = 128;

    private static readonly CudaProgram Program = new("sum_partials.cu");

    /// <summary>How many parts a reduction is cut into, so that a few blocks run on every multiprocessor of a large device.</summary>
    /// <param name="blocks">Blocks in each part.</param>
    /// <param name="most">The number of pieces of work, each of which belongs to one part.</param>
    public static int Parts(long blocks, long most) => (int)Math.Clamp(1024 / Math.Max(blocks, 1), 1, Math.Max(most, 1));

    /// <summary>Adds [parts, width] up to [width].</summary>
    public static void Add(nint stream, float* partials, float* sums, int parts, int width)
    {
        if (sums == null)
            return;
        Program.Function("sum_partials").Launch(stream, new((width + Threads - 1) / Threads), Threads, 0,
            new Parameters { Partials = partials, Sums = sums, Parts = parts, Width = width });
    }

    private struct Parameters
    {
        public float* Partials;
        public float* Sums;
        public int Parts;
        public int Width;
    }
}
