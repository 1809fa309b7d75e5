namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>Raft-token mixing on CUDA: each element of the map is read and written once, all between stays on the chip.</summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class RaftMixingKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    /// <summary>THREADS of raft_mixing.cu, also the most tokens of a tile.</summary>
    private const int Threads = 256;

    /// <summary>TOKENS of raft_mixing.cu, also the fewest tokens of a tile.</summary>
    private const int FewestTokens = 32;

    /// <summary>Little enough that a few blocks run on one multiprocessor.</summary>
    private const long SharedBytesAimedAt = 64 * 1024;

    private static readonly CudaProgram Program = CudaProgram.For<T>("raft_mixing.cu");

    private readonly int _raftSize = attributes.PositiveInt("raft_size");
    private readonly float _epsilon = attributes.Float("epsilon");

    public void Compute(KernelContext context)
    {
        var x = context.Input(0).Expect("[N, H, W, C]", -1, -1, -1, -1);
        var dims = x.Shape.Dims;
        var (batch, height, width, channels) = (dims[0], (int)dims[1], (int)dims[2], (int)dims[3]);
        if (channels % _raftSize != 0)
            throw new KernelException($"attribute 'raft_size' is {_raftSize}, expected a divisor of the {channels} channels");
        var rows = _raftSize * height;
        var weight1 = context.Input(3).Expect("[D, r H]", -1, rows);
        var hidden = (int)weight1.Shape.Dims[0];
        var weight2 = context.Input(5).Expect("[r H, D]", rows, hidden);
        var keep = context.Input(7);
        var parameters = new Parameters
        {
            X = x.Data<T>(),
            Scale = context.Input(1).Expect("[C]", channels).Data<T>(),
            Bias = context.Input(2).Expect("[C]", channels).Data<T>(),
            Bias1 = context.Input(4).Expect("[D]", hidden).Data<T>(),
            Bias2 = context.Input(6).Expect("[r H]", rows).Data<T>(),
            Keep = keep.Data<T>(),
            Y = context.Output<T>(0, dims),
            Count = batch * width * (channels / _raftSize),
            Height = height,
            Width = width,
            Channels = channels,
            RaftSize = _raftSize,
            Hidden = hidden,
            KeepStep = KeptExamples.StepOf(keep, batch),
            Epsilon = _epsilon,
        };
        var sharedBytes = Tile(ref parameters);
        var packedSize = (long)Whole(rows) * Whole(hidden);
        using var memory = context.Allocate(2 * packedSize * sizeof(T));
        parameters.Packed1 = (T*)memory.Data;
        parameters.Packed2 = parameters.Packed1 + packedSize;
        Pack(context.Stream, new() { Weight = weight1.Data<T>(), Packed = parameters.Packed1, Rows = hidden, Inner = rows });
        Pack(context.Stream, new() { Weight = weight2.Data<T>(), Packed = parameters.Packed2, Rows = rows, Inner = hidden });
        Program.Function("raft_mixing").Launch(
            context.Stream, new((parameters.Count + parameters.Tokens - 1) / parameters.Tokens), Threads, sharedBytes, parameters);
    }

    public void Dispose()
    {
    }

    private static void Pack(nint stream, in Weights weights) => Program.Function("pack_weights").Launch(
        stream, new(((Whole(weights.Rows) * Whole(weights.Inner)) + Threads - 1) / Threads), Threads, 0, weights);

    private static int Whole(int count) => (count + 15) / 16 * 16;

    // Sets the size of a tile; gives the shared memory that a block needs.
    private static int Tile(ref Parameters p)
    {
        const int Padding = 8;
        var padding = typeof(T) == typeof(Half) ? Padding : 0;
        var (perGroup, rows) = (p.Channels / p.RaftSize, Whole(p.RaftSize * p.Height) + Whole(p.Hidden));
        for (p.Tokens = Threads; ; p.Tokens /= 2)
        {
            var columns = ((p.Tokens - 1) / perGroup) + 2;
            p.Statistics = ((columns * p.Height) + 1) / 2 * 2;
            var bytes = ((long)p.Statistics * 2 * sizeof(float)) + ((long)rows * (p.Tokens + padding) * sizeof(T));
            if (bytes <= SharedBytesAimedAt || (p.Tokens == FewestTokens && bytes <= CudaDriver.Instance.CurrentDevice.SharedMemoryPerBlock))
                return (int)bytes;
            if (p.Tokens == FewestTokens)
            {
                throw new KernelException(
                    $"{p.RaftSize} x {p.Height} mixed elements with a hidden layer of {p.Hidden} need {bytes} bytes of shared memory, of which "
                    + $"this device has {CudaDriver.Instance.CurrentDevice.SharedMemoryPerBlock}; take a smaller raft size, or float16");
            }
        }
    }

    private struct Weights
    {
        public T* Weight;
        public T* Packed;
        public int Rows;
        public int Inner;
    }

    private struct Parameters
    {
        public T* X;
        public T* Scale;
        public T* Bias;
        public T* Packed1;
        public T* Bias1;
        public T* Packed2;
        public T* Bias2;
        public T* Keep;
        public T* Y;
        public long Count;
        public int Height;
        public int Width;
        public int Channels;
        public int RaftSize;
        public int Hidden;
        public int Tokens;
        public int Statistics;
        public int KeepStep;
        public float Epsilon;
    }
}
