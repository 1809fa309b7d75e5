namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>
/// The gradient of efficient local attention on CUDA: that of the map in one launch where the maps of a block of channels fit into shared
/// memory and in five elsewhere, then those of weights, scale and bias in parts that are added up in a fixed order.
/// </summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class EfficientLocalAttentionGradKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    private const int BlockThreads = 512;
    private const int MapThreads = 256;
    private const int SumThreads = 128;

    /// <summary>What the strips of the channels that a block of threads works on together may take, bytes.</summary>
    private const int UsualSharedMemory = 48 * 1024;

    private static readonly CudaProgram Program = CudaProgram.For<T>("efficient_local_attention_grad.cu");

    private readonly LocalAttention _attention = new(attributes);

    public void Compute(KernelContext context)
    {
        var sizes = _attention.Sizes(context, 1);
        var device = new LocalAttentionParameters(sizes);
        var channels = (long)sizes.Batch * sizes.Channels;
        var statisticsBytes = ((6 * device.NormGroups) + (4 * device.BlockChannels)) * sizeof(float);
        var onChip = (2 * device.MapBytes(sizeof(T))) + (3 * device.StripBytes) + statisticsBytes;
        var fits = onChip <= CudaDriver.Instance.CurrentDevice.SharedMemoryPerBlock;
        using var memory = context.Allocate(channels * ((device.Strip * (fits ? 2 : 5)) + 2) * sizeof(float));
        var scaleParts = (float*)memory.Data;
        var strips = scaleParts + (2 * channels);
        var strip = channels * device.Strip;
        var parameters = new Parameters
        {
            OutputGrad = context.Input(0).Expect("the shape of x", context.Input(1).Shape.Dims).Data<T>(),
            X = context.Input(1).Data<T>(),
            Weight = context.Input(2).Data<T>(),
            Scale = context.Input(3).Data<T>(),
            Bias = context.Input(4).Data<T>(),
            XGrad = context.Output<T>(0, context.Input(1).Shape.Dims),
            Means = strips,
            ConvolvedGrad = strips + strip,
            Gates = fits ? null : strips + (2 * strip),
            Gradients = fits ? null : strips + (3 * strip),
            Normalized = fits ? null : strips + (4 * strip),
            ScaleParts = scaleParts,
            BiasParts = scaleParts + channels,
            Sizes = device,
        };
        var stream = context.Stream;
        var blocks = new GridSize((long)sizes.Batch * sizes.Blocks);
        if (fits)
        {
            Program.Function("attend_grad").Launch(stream, blocks, BlockThreads, (int)onChip, parameters);
        }
        else
        {
            Program.Function("average").Launch(stream, new(channels), MapThreads, 0, parameters);
            Program.Function("make_gates").Launch(stream, blocks, BlockThreads, statisticsBytes, parameters);
            Program.Function("sum_gate_gradients").Launch(stream, new(channels), MapThreads, 0, parameters);
            Program.Function("strip_gradients").Launch(stream, blocks, BlockThreads, statisticsBytes, parameters);
            if (parameters.XGrad != null)
                Program.Function("map_gradients").Launch(stream, new(channels), MapThreads, 0, parameters);
        }
        AddParts(stream, parameters.ScaleParts, context.Output<T>(2, sizes.Channels), sizes.Batch, sizes.Channels);
        AddParts(stream, parameters.BiasParts, context.Output<T>(3, sizes.Channels), sizes.Batch, sizes.Channels);
        var weightGrad = context.Output<T>(1, context.Input(2).Shape.Dims);
        if (weightGrad != null)
            WeightGradients(context, sizes, parameters, weightGrad);
    }

    public void Dispose()
    {
    }

    private static void WeightGradients(KernelContext context, in LocalAttentionSizes sizes, in Parameters parameters, T* weightGrad)
    {
        var perChannel = sizes.ChannelsPerGroup * sizes.Kernel;
        var stripBytes = ((2 * parameters.Sizes.Strip) + (4 * (sizes.Kernel / 2))) * sizeof(float);
        // As many groups as give each thread a weight and find room; they have to divide the channels.
        var groups = sizes.Channels / sizes.ChannelsPerGroup;
        var together = Math.Min(
            BlockThreads / (perChannel * sizes.ChannelsPerGroup), UsualSharedMemory / (stripBytes * sizes.ChannelsPerGroup));
        together = Math.Clamp(together, 1, groups);
        while (groups % together > 0)
            together--;
        var channelsTogether = together * sizes.ChannelsPerGroup;
        var shared = (long)channelsTogether * stripBytes;
        if (shared > CudaDriver.Instance.CurrentDevice.SharedMemoryPerBlock)
        {
            throw new KernelException($"a map of {sizes.Height} x {sizes.Width} with {sizes.ChannelsPerGroup} channels to a group is too large "
                + "for this device's shared memory");
        }
        var weights = sizes.Channels * perChannel;
        var parts = PartialSums.Parts(groups / together, sizes.Batch);
        using var memory = context.Allocate((long)parts * weights * sizeof(float));
        var weightBlocks = ((channelsTogether * perChannel) + BlockThreads - 1) / BlockThreads;
        Program.Function("weight_gradients").Launch(
            context.Stream, new(groups / together, parts, weightBlocks), BlockThreads, (int)shared, new WeightParameters
            {
                Means = parameters.Means,
                ConvolvedGrad = parameters.ConvolvedGrad,
                Partials = (float*)memory.Data,
                Batch = sizes.Batch,
                ChannelsTogether = channelsTogether,
                Parts = parts,
                Sizes = parameters.Sizes,
            });
        AddParts(context.Stream, (float*)memory.Data, weightGrad, parts, weights);
    }

    private static void AddParts(nint stream, float* parts, T* sums, int count, int width)
    {
        if (sums == null)
            return;
        Program.Function("add_parts").Launch(stream, new((width + SumThreads - 1) / SumThreads), SumThreads, 0,
            new PartsParameters { Parts = parts, Sums = sums, Count = count, Width = width });
    }

    private struct Parameters
    {
        public T* OutputGrad;
        public T* X;
        public T* Weight;
        public T* Scale;
        public T* Bias;
        public T* XGrad;
        public float* Means;
        public float* ConvolvedGrad;
        public float* Gates;
        public float* Gradients;
        public float* Normalized;
        public float* ScaleParts;
        public float* BiasParts;
        public LocalAttentionParameters Sizes;
    }

    private struct WeightParameters
    {
        public float* Means;
        public float* ConvolvedGrad;
        public float* Partials;
        public long Batch;
        public int ChannelsTogether;
        public int Parts;
        public LocalAttentionParameters Sizes;
    }

    private struct PartsParameters
    {
        public float* Parts;
        public T* Sums;
        public long Count;
        public int Width;
    }
}
