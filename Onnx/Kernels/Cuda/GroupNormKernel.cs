namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>Group normalisation with or without SiLU on CUDA: a pass for the statistics, one for the result.</summary>
/// <typeparam name="T">The type of maps: <see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class GroupNormKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    private readonly int _groups = attributes.PositiveInt("num_groups");
    private readonly float _epsilon = attributes.Float("epsilon");
    private readonly int _silu = (int)attributes.Int("silu");

    public void Compute(KernelContext context)
    {
        var x = context.Input(0);
        var sizes = GroupNormSizes.Of(x, _groups);
        using var memory = context.Allocate(GroupNormLaunch<T>.ScratchBytes(sizes));
        var parameters = new GroupNormLaunch<T>.Parameters(sizes, memory.Data)
        {
            X = x.Data<T>(),
            Scale = context.Input(1).Expect("[C]", sizes.Channels).Data<float>(),
            Bias = context.Input(2).Expect("[C]", sizes.Channels).Data<float>(),
            Result = context.Output<T>(0, x.Shape.Dims),
            Silu = _silu,
            Epsilon = _epsilon,
        };
        GroupNormLaunch<T>.Moments(context.Stream, parameters, sizes);
        GroupNormLaunch<T>.ForElements("forward", context.Stream, parameters, sizes);
    }

    public void Dispose()
    {
    }
}
