namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>Convolution of float16 maps with channels last on CUDA: cuDNN's, with bias, residual sum and ReLU in the same kernel.</summary>
internal sealed unsafe class ChannelsLastConvKernel(KernelAttributes attributes) : IKernel
{
    private readonly ConvolutionWindow _window = new(attributes);
    private readonly bool _isRectified = attributes.Int("is_rectified") != 0;

    public void Compute(KernelContext context)
    {
        var x = context.Input(0).Expect("[N, H, W, C]", -1, -1, -1, -1);
        var weight = context.Input(1).Expect("[O, kH, kW, C]", -1, _window.KernelHeight, _window.KernelWidth, x.Shape.Dims[3]);
        var bias = context.Input(2).Expect("[O]", weight.Shape.Dims[0]);
        var residual = context.Input(3);
        var hasResidual = residual.Shape.Rank > 0;
        var sizes = new ConvolutionSizes(
            x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3], weight.Shape[0], _window, HasBias: true, hasResidual, _isRectified);
        ReadOnlySpan<long> output = [sizes.Batch, sizes.OutputHeight, sizes.OutputWidth, sizes.Outputs];
        var memory = new ConvolutionMemory
        {
            X = x.Data<Half>(),
            Weight = weight.Data<Half>(),
            Bias = bias.Data<Half>(),
            Residual = hasResidual ? residual.Expect("the shape of y", output).Data<Half>() : null,
            Y = context.Output<Half>(0, output),
        };
        if (output.Contains(0))
            return;
        var handle = CudnnHandle.Current;
        lock (handle)
        {
            Cudnn.Instance.SetStream(handle.Value, context.Stream);
            if (!handle.Convolutions.TryGetValue(sizes, out var convolution))
                handle.Convolutions[sizes] = convolution = CudnnConvolution.Create(handle, context, sizes, memory);
            using var workspace = context.Allocate(convolution.WorkspaceSize);
            convolution.Run(handle, memory, workspace.Data);
        }
    }

    public void Dispose()
    {
    }
}
