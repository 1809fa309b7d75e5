using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>What a gradient rule sees of a node: its inputs, outputs and attributes, and the gradients of its outputs.</summary>
/// <param name="builder">Extends the graph that holds the node.</param>
/// <param name="node">The node.</param>
/// <param name="outputGradients">The gradients of its outputs, null where none flows.</param>
/// <param name="active">The names of the values whose gradients are of use.</param>
internal sealed class NodeGradient(
    GraphBuilder builder, Node node, IReadOnlyList<Value?> outputGradients, IReadOnlySet<string> active)
{
    public GraphBuilder Builder => builder;

    public Node Node => node;

    public Attributes Attributes => node.Attributes;

    public int InputCount => node.Inputs.Count;

    public int OutputCount => node.Outputs.Count;

    /// <summary>The gradient of the first output.</summary>
    public Value Grad => outputGradients[0] ?? Zeros(Output(0).Shape, Output(0));

    public Value? OutputGrad(int index) => index < outputGradients.Count ? outputGradients[index] : null;

    public bool HasInput(int index) => index < node.Inputs.Count && node.Inputs[index].Length > 0;

    public Value Input(int index) => HasInput(index) ? builder[node.Inputs[index]] : throw Unsupported($"input {index} is missing");

    /// <summary>Whether the gradient of an input is of use; rules give it all the same where that costs nothing.</summary>
    public bool IsNeeded(int input) => active.Contains(node.Inputs[input]);

    /// <summary>The sizes of an input.</summary>
    public long[] Sizes(int input) => Input(input).Shape.ToArray();

    /// <summary>An output; one that the node leaves out is added.</summary>
    public Value Output(int index) => builder.OutputOf(node, index);

    /// <summary>Integers that are an attribute in older operator sets and a constant input in newer ones; null if not given.</summary>
    public long[]? Integers(string attribute, int input)
    {
        if (Attributes.Ints(attribute) is { } values)
            return values;
        if (!HasInput(input))
            return null;
        return Input(input).Info.Content is { IsStatic: true } content
            ? content.ToArray()
            : throw Unsupported($"its {attribute} are computed from data");
    }

    /// <summary>The axes of an input that the node reduces.</summary>
    public long[] ReducedAxes()
    {
        var rank = Input(0).Shape.Rank;
        var axes = Integers("axes", 1);
        return axes is null or []
            ? Attributes.Int("noop_with_empty_axes", 0) != 0 ? [] : [.. Enumerable.Range(0, rank).Select(axis => (long)axis)]
            : [.. axes.Select(axis => (long)ShapeInference.Axis(axis, rank)).Order()];
    }

    /// <summary>An axis attribute, counted from the front.</summary>
    public int Axis(long defaultAxis, int input = 0) => ShapeInference.Axis(Attributes.Int("axis", defaultAxis), Input(input).Shape.Rank);

    /// <summary>Sums a gradient over the axes along which an input was broadcast.</summary>
    public Value SumTo(int input, Value gradient) => gradient.SumTo(Input(input).Shape);

    /// <summary>Gives a gradient the shape of an input.</summary>
    public Value ReshapeTo(int input, Value gradient) => gradient.ReshapeTo(Sizes(input));

    /// <summary>Zeros of the shape of an input.</summary>
    public Value Zeros(int input) => Zeros(Input(input).Shape, Input(input));

    public Value Zeros(Shape shape, Value like) => builder.Scalar(0, like).Expand(builder.Int64(shape.ToArray()));

    public NotSupportedException Unsupported(string reason) =>
        new($"The gradient of {node.OpType} (node '{node.Name}') is not supported: {reason}.");
}

/// <summary>Steps that several gradient rules share.</summary>
internal static class GradientSteps
{
    /// <summary>Sums over the axes along which a value of the given shape was broadcast.</summary>
    public static Value SumTo(this Value gradient, Shape shape)
    {
        var added = gradient.Shape.Rank - shape.Rank;
        var axes = Enumerable.Range(0, gradient.Shape.Rank)
            .Where(axis => axis < added || (shape[axis - added] == 1 && gradient.Shape[axis] != 1)).Select(axis => (long)axis).ToArray();
        var sum = axes.Length == 0 ? gradient
            : axes.Length == gradient.Shape.Rank - 1 && axes[0] == 0 ? BiasGrad.Apply(gradient, Kept())
            : gradient.ReduceSum(axes);
        return sum.ReshapeTo(shape.ToArray());

        int Kept() => Enumerable.Range(0, gradient.Shape.Rank).First(axis => !axes.Contains(axis));
    }

    /// <summary>Gives other sizes, all positive; no node where they are the same.</summary>
    public static Value ReshapeTo(this Value value, params long[] sizes) =>
        value.Shape.IsStatic && value.Shape.ToArray().AsSpan().SequenceEqual(sizes) ? value
        : value.Builder.Op("Reshape", [value, value.Builder.Int64(sizes)], sizes.Contains(0) ? new() { ["allowzero"] = 1 } : null);

    /// <summary>Converts the element type; no node where it is the same.</summary>
    public static Value CastTo(this Value value, TensorElementType type) => value.Type == type ? value : value.Cast(type);

    /// <summary>Expands to the given shape; no node where it is the same.</summary>
    public static Value ExpandTo(this Value value, Shape shape) =>
        value.Shape.IsStatic && value.Shape.ToArray().AsSpan().SequenceEqual(shape.ToArray()) ? value
        : value.Expand(value.Builder.Int64(shape.ToArray()));

    /// <summary>Swaps the last two axes.</summary>
    public static Value TransposeLast(this Value value)
    {
        var permutation = Enumerable.Range(0, value.Shape.Rank).Select(axis => (long)axis).ToArray();
        (permutation[^1], permutation[^2]) = (permutation[^2], permutation[^1]);
        return value.Transpose(permutation);
    }

    /// <summary>Multiplies an axis by a constant matrix: result[j] is the sum over i of value[i] * matrix[i, j].</summary>
    public static Value MultiplyAxis(this Value value, int axis, double[,] matrix)
    {
        var (rows, columns) = (matrix.GetLength(0), matrix.GetLength(1));
        var rank = value.Shape.Rank;
        if (axis == rank - 1)
            return value.MatMul(Matrix(value, rows, columns, (i, j) => matrix[i, j]));
        if (axis == rank - 2)
            return Matrix(value, columns, rows, (i, j) => matrix[j, i]).MatMul(value);
        var sizes = value.Shape.ToArray();
        var inner = sizes[(axis + 1)..].Aggregate(1L, (product, size) => product * size);
        var outer = sizes[..axis].Aggregate(1L, (product, size) => product * size);
        long[] result = [.. sizes[..axis], columns, .. sizes[(axis + 1)..]];
        return value.ReshapeTo(outer, rows, inner).MultiplyAxis(1, matrix).ReshapeTo(result);
    }

    private static Value Matrix(Value like, int rows, int columns, Func<int, int, double> element)
    {
        var elements = new double[rows * columns];
        for (var i = 0; i < elements.Length; i++)
            elements[i] = element(i / columns, i % columns);
        return like.Builder.Constant(like.Type switch
        {
            TensorElementType.Double => Tensor.Create<double>(elements, rows, columns),
            TensorElementType.Float => Tensor.Create<float>(Array.ConvertAll(elements, x => (float)x), rows, columns),
            _ => Tensor.Create<Half>(Array.ConvertAll(elements, x => (Half)x), rows, columns),
        });
    }
}
