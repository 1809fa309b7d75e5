namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The gradient of group normalisation on CUDA: a pass for the statistics, one for sums over channels, one for the result.</summary>
/// <typeparam name="T">The type of maps: <see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class GroupNormGradKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    private readonly int _groups = attributes.PositiveInt("num_groups");
    private readonly float _epsilon = attributes.Float("epsilon");
    private readonly int _silu = (int)attributes.Int("silu");

    public void Compute(KernelContext context)
    {
        var x = context.Input(1);
        var sizes = GroupNormSizes.Of(x, _groups);
        var (batch, channels) = ((int)sizes.Batch, sizes.Channels);
        var scratchBytes = GroupNormLaunch<T>.ScratchBytes(sizes);
        using var memory = context.Allocate(scratchBytes + (2L * batch * channels * sizeof(float)));
        var parameters = new GroupNormLaunch<T>.Parameters(sizes, memory.Data)
        {
            OutputGrad = context.Input(0).Expect("the shape of x", x.Shape.Dims).Data<T>(),
            X = x.Data<T>(),
            Scale = context.Input(2).Expect("[C]", channels).Data<float>(),
            Bias = context.Input(3).Expect("[C]", channels).Data<float>(),
            Result = context.Output<T>(0, x.Shape.Dims),
            ChannelSums = (float*)((byte*)memory.Data + scratchBytes),
            Silu = _silu,
            Epsilon = _epsilon,
        };
        var stream = context.Stream;
        GroupNormLaunch<T>.Moments(stream, parameters, sizes);
        GroupNormLaunch<T>.ForChannels("channel_sums", stream, parameters, sizes);
        GroupNormLaunch<T>.ForGroups("group_means", stream, parameters, sizes);
        GroupNormLaunch<T>.ForElements("backward", stream, parameters, sizes);
        PartialSums.AddPairs<float>(
            stream, parameters.ChannelSums, context.Output<float>(1, channels), context.Output<float>(2, channels), batch, channels);
    }

    public void Dispose()
    {
    }
}
