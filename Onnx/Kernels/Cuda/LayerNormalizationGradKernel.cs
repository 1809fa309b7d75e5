using System.Numerics;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>
/// The gradient of layer normalisation on CUDA: a pass over the rows for the input, a pass over strips of rows for scale and bias.
/// </summary>
internal sealed unsafe class LayerNormalizationGradKernel(KernelAttributes attributes) : IKernel
{
    private const int Threads = 256;
    private const int RowsPerBlock = Threads / 32;
    private const int ColumnsPerBlock = 32;

    private static readonly CudaProgram Program = new("layer_normalization_grad.cu");

    private readonly long _axis = attributes.Int("axis");
    private readonly float _epsilon = attributes.Float("epsilon");

    public void Compute(KernelContext context)
    {
        var x = context.Input(1);
        var g = context.Input(0).Expect("the shape of x", x.Shape.Dims);
        var scale = context.Input(2);
        var axis = (int)(_axis < 0 ? _axis + x.Shape.Rank : _axis);
        var width = (int)TensorShape.CountOf(x.Shape.Dims[axis..]);
        if (scale.Shape.ElementCount != width)
            throw new KernelException($"input 'scale' has shape {scale.Shape}, expected {width} elements, as many as are normalised together");
        var rows = TensorShape.CountOf(x.Shape.Dims[..axis]);
        var columnBlocks = (width + ColumnsPerBlock - 1) / ColumnsPerBlock;
        var strips = PartialSums.Parts(columnBlocks, (rows + RowsPerBlock - 1) / RowsPerBlock);
        using var memory = context.Allocate((rows * sizeof(Vector2)) + ((long)strips * 2 * width * sizeof(float)));
        var parameters = new Parameters
        {
            OutputGrad = g.Data<float>(),
            X = x.Data<float>(),
            Scale = scale.Data<float>(),
            XGrad = context.Output<float>(0, x.Shape.Dims),
            Statistics = (Vector2*)memory.Data,
            Partials = (float*)((Vector2*)memory.Data + rows),
            Rows = rows,
            Width = width,
            Strips = strips,
            Epsilon = _epsilon,
        };
        var stream = context.Stream;
        Program.Function("input_gradient").Launch(stream, new((rows + RowsPerBlock - 1) / RowsPerBlock), Threads, 0, parameters);
        Program.Function("column_sums").Launch(stream, new(columnBlocks, strips), Threads, 0, parameters);
        Program.Function("sum_strips").Launch(stream, new(columnBlocks, 2), ColumnsPerBlock, 0, new Sums
        {
            Partials = parameters.Partials,
            ScaleGrad = context.Output<float>(1, scale.Shape.Dims),
            BiasGrad = context.Output<float>(2, scale.Shape.Dims),
            Width = width,
            Strips = strips,
        });
    }

    public void Dispose()
    {
    }

    private struct Parameters
    {
        public float* OutputGrad;
        public float* X;
        public float* Scale;
        public float* XGrad;
        public Vector2* Statistics;
        public float* Partials;
        public long Rows;
        public int Width;
        public int Strips;
        public float Epsilon;
    }

    private struct Sums
    {
        public float* Partials;
        public float* ScaleGrad;
        public float* BiasGrad;
        public int Width;
        public int Strips;
    }
}
