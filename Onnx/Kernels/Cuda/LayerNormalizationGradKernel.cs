using System.Collections.Concurrent;
using System.Numerics;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>
/// The gradient of layer normalisation on CUDA: one pass over rows that fit registers; else a pass over the rows for the input and one
/// over strips of rows for scale and bias.
/// </summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class LayerNormalizationGradKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    private const string Source = "layer_normalization_grad.cu";
    private const int Threads = 256;
    private const int RowsPerBlock = Threads / 32;
    private const int ColumnsPerBlock = 32;
    private const int LargestWidthInRegisters = 512;
    private const int LargestStripCount = 512;

    private static readonly CudaProgram AnyProgram = CudaProgram.For<T>(Source);
    private static readonly ConcurrentDictionary<(int Lanes, int Vectors), CudaProgram> Programs = new();

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
        var parameters = new Parameters
        {
            OutputGrad = g.Data<T>(),
            X = x.Data<T>(),
            Scale = scale.Data<T>(),
            XGrad = context.Output<T>(0, x.Shape.Dims),
            Rows = TensorShape.CountOf(x.Shape.Dims[..axis]),
            Width = width,
            Epsilon = _epsilon,
        };
        var scaleGrad = context.Output<T>(1, scale.Shape.Dims);
        var biasGrad = context.Output<T>(2, scale.Shape.Dims);
        if (width % 4 == 0 && width <= LargestWidthInRegisters)
            Together(context, parameters, scaleGrad, biasGrad);
        else
            InTwoPasses(context, parameters, scaleGrad, biasGrad);
    }

    public void Dispose()
    {
    }

    private static void Together(KernelContext context, Parameters parameters, T* scaleGrad, T* biasGrad)
    {
        var quads = parameters.Width / 4;
        var lanes = (int)Math.Min(32, BitOperations.RoundUpToPowerOf2((uint)quads));
        var program = Programs.GetOrAdd((lanes, (quads + lanes - 1) / lanes), static size =>
            CudaProgram.For<T>(Source, $"LANES={size.Lanes}", $"VECTORS={size.Vectors}"));
        var rowsPerBlock = Threads / lanes;
        parameters.Strips = (int)Math.Clamp((parameters.Rows + rowsPerBlock - 1) / rowsPerBlock, 1, LargestStripCount);
        using var memory = context.Allocate((long)parameters.Strips * 2 * parameters.Width * sizeof(float));
        parameters.Partials = (float*)memory.Data;
        program.Function("together").Launch(context.Stream, new(parameters.Strips), Threads, 0, parameters);
        PartialSums.AddPairs(context.Stream, parameters.Partials, scaleGrad, biasGrad, parameters.Strips, parameters.Width);
    }

    private static void InTwoPasses(KernelContext context, Parameters parameters, T* scaleGrad, T* biasGrad)
    {
        var (rows, width) = (parameters.Rows, parameters.Width);
        var columnBlocks = (width + ColumnsPerBlock - 1) / ColumnsPerBlock;
        var rowBlocks = (rows + RowsPerBlock - 1) / RowsPerBlock;
        parameters.Strips = PartialSums.Parts(columnBlocks, rowBlocks);
        using var memory = context.Allocate((rows * sizeof(Vector2)) + ((long)parameters.Strips * 2 * width * sizeof(float)));
        parameters.Statistics = (Vector2*)memory.Data;
        parameters.Partials = (float*)((Vector2*)memory.Data + rows);
        AnyProgram.Function("input_gradient").Launch(context.Stream, new(rowBlocks), Threads, 0, parameters);
        AnyProgram.Function("column_sums").Launch(context.Stream, new(columnBlocks, parameters.Strips), Threads, 0, parameters);
        PartialSums.AddPairs(context.Stream, parameters.Partials, scaleGrad, biasGrad, parameters.Strips, width);
    }

    private struct Parameters
    {
        public T* OutputGrad;
        public T* X;
        public T* Scale;
        public T* XGrad;
        public Vector2* Statistics;
        public float* Partials;
        public long Rows;
        public int Width;
        public int Strips;
        public float Epsilon;
    }
}
