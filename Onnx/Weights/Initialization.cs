using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Weights;

/// <summary>How the values of a parameter are drawn before training.</summary>
public abstract record Initialization
{
    private Initialization()
    {
    }

    /// <summary>All 0.</summary>
    public static Initialization Zeros { get; } = new ConstantValue(0);

    /// <summary>All 1.</summary>
    public static Initialization Ones { get; } = new ConstantValue(1);

    /// <summary>All the same value.</summary>
    public static Initialization Constant(float value) => new ConstantValue(value);

    /// <summary>Uniform between <c>-bound</c> and <c>bound</c>.</summary>
    public static Initialization Uniform(double bound) => new UniformValues(bound);

    /// <summary>PyTorch's default for convolutions and their biases: uniform with the bound <c>fanIn</c>^-1/2.</summary>
    /// <param name="fanIn">The number of inputs that each output sums over.</param>
    public static Initialization FanIn(long fanIn) => Uniform(1 / Math.Sqrt(fanIn));

    /// <summary>He's start of convolutions before rectifiers: normal with the variance 2 / <c>fanOut</c>.</summary>
    /// <param name="fanOut">The number of outputs that each input goes into.</param>
    public static Initialization FanOut(long fanOut) => TruncatedNormal(Math.Sqrt(2.0 / fanOut), double.PositiveInfinity);

    /// <summary>Normal with mean 0, drawn anew beyond <paramref name="bound"/>: the usual start of transformers' linear layers.</summary>
    /// <param name="deviation">The standard deviation.</param>
    /// <param name="bound">The largest absolute value.</param>
    public static Initialization TruncatedNormal(double deviation = 0.02, double bound = 2) => new TruncatedNormalValues(deviation, bound);

    /// <summary>Draws a float32 tensor.</summary>
    internal Tensor Draw(int seed, string name, IReadOnlyList<long> dims)
    {
        var bytes = new byte[sizeof(float) * dims.Aggregate(1L, (product, dim) => product * dim)];
        Fill(MemoryMarshal.Cast<byte, float>(bytes.AsSpan()), new NamedRandom(seed, name));
        return new(TensorElementType.Float, [.. dims], bytes);
    }

    private protected abstract void Fill(Span<float> values, NamedRandom random);

    private sealed record ConstantValue(float Value) : Initialization
    {
        private protected override void Fill(Span<float> values, NamedRandom random) => values.Fill(Value);
    }

    private sealed record UniformValues(double Bound) : Initialization
    {
        private protected override void Fill(Span<float> values, NamedRandom random)
        {
            foreach (ref var value in values)
                value = (float)(((2 * random.NextUniform()) - 1) * Bound);
        }
    }

    private sealed record TruncatedNormalValues(double Deviation, double Bound) : Initialization
    {
        private protected override void Fill(Span<float> values, NamedRandom random)
        {
            foreach (ref var value in values)
            {
                double drawn;
                do
                    drawn = random.NextNormal() * Deviation;
                while (Math.Abs(drawn) > Bound);
                value = (float)drawn;
            }
        }
    }
}
