using System.Collections.Concurrent;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>
/// The weight gradient of a grouped convolution on CUDA. Depthwise ones of stride 1 keep their windows in registers; all others are
/// computed element by element.
/// </summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class GroupedConvWeightGradKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    private static readonly CudaProgram AnyProgram = CudaProgram.For<T>("grouped_conv_weight_grad.cu");
    private static readonly ConcurrentDictionary<(int Height, int Width), CudaProgram> DepthwisePrograms = new();

    private readonly ConvolutionWindow _window = new(attributes);
    private readonly long _group = attributes.Int("group");

    public void Compute(KernelContext context)
    {
        var g = context.Input(0).Expect("[N, M, Ho, Wo]", -1, -1, -1, -1);
        var x = context.Input(1).Expect("[N, C, H, W]", -1, -1, -1, -1);
        var (outputs, inputs) = (g.Shape.Dims[1], x.Shape.Dims[1]);
        var result = context.Output<T>(0, outputs, inputs / _group, _window.KernelHeight, _window.KernelWidth);
        var parameters = new Parameters
        {
            OutputGrad = g.Data<T>(),
            X = x.Data<T>(),
            Result = result,
            Batch = x.Shape.Dims[0],
            Outputs = (int)outputs,
            Inputs = (int)inputs,
            Height = (int)x.Shape.Dims[2],
            Width = (int)x.Shape.Dims[3],
            OutputHeight = (int)g.Shape.Dims[2],
            OutputWidth = (int)g.Shape.Dims[3],
            Window = _window,
            Group = (int)_group,
        };
        if (!TryDepthwise(context, ref parameters))
        {
            var weights = outputs * (inputs / _group) * _window.KernelHeight * _window.KernelWidth;
            AnyProgram.Function("any").Launch(context.Stream, new(weights), PlaneTiling.Threads, 0, parameters);
        }
    }

    public void Dispose()
    {
    }

    private bool TryDepthwise(KernelContext context, ref Parameters p)
    {
        var isPlain = p.Group == p.Outputs && p.Group == p.Inputs && _window.IsPlain;
        if (!isPlain || PlaneTiling.For(p.OutputHeight, p.OutputWidth, _window, p.Batch) is not { } tiling)
            return false;
        (p.RowsPerThread, p.PlanesPerBlock) = (tiling.RowsPerThread, tiling.PlanesPerBlock);
        p.Parts = PartialSums.Parts(p.Outputs, (p.Batch + p.PlanesPerBlock - 1) / p.PlanesPerBlock);

        var area = p.Outputs * _window.KernelHeight * _window.KernelWidth;
        using var memory = context.Allocate((long)p.Parts * area * sizeof(float));
        p.Partials = (float*)memory.Data;
        var program = DepthwisePrograms.GetOrAdd((_window.KernelHeight, _window.KernelWidth), size => CudaProgram.For<T>(
            "grouped_conv_weight_grad.cu", $"KERNEL_HEIGHT={size.Height}", $"KERNEL_WIDTH={size.Width}"));
        program.Function("depthwise").Launch(context.Stream, new(p.Outputs, p.Parts), PlaneTiling.Threads, tiling.SharedBytes, p);
        PartialSums.Add(context.Stream, p.Partials, p.Result, p.Parts, area);
        return true;
    }

    private struct Parameters
    {
        public T* OutputGrad;
        public T* X;
        public float* Partials;
        public T* Result;
        public long Batch;
        public int Outputs;
        public int Inputs;
        public int Height;
        public int Width;
        public int OutputHeight;
        public int OutputWidth;
        public ConvolutionWindow Window;
        public int Group;
        public int Parts;
        public int RowsPerThread;
        public int PlanesPerBlock;
    }
}
