using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention;

/// <summary>
/// Makes of a model a graph that tells what each variable adds to an output in each bin: integrated gradients along the straight line from
/// a series of which nothing is known to the series itself. They add up to the difference of the outputs of both, up to the number of steps.
/// <para>Source: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017 (arXiv 1703.01365).</para>
/// </summary>
internal static class ContributionGraph
{
    public const string Contributions = "contributions";
    public const string VariableImportance = "variable_contribution";
    public const string TimeImportance = "time_contribution";
    public const string VariableAttention = "variable_attention";
    public const string TimeAttention = "time_attention";

    private const string Input = "x";

    /// <summary>
    /// Builds the graph: input <c>x</c> [1, bins, columns], outputs <c>contributions</c> [1, bins, variables] and sums of it, and what the
    /// model's attention looks at.
    /// </summary>
    /// <param name="model">The model, whose input is <c>x</c> [N, bins, columns] and whose outputs are the logits and importances.</param>
    /// <param name="encoder">Tells the series of which nothing is known, and the variable of each column.</param>
    /// <param name="output">The output that is explained; null for the largest.</param>
    /// <param name="stepCount">The points of the line.</param>
    public static OnnxModel Build(OnnxModel model, SeriesEncoder encoder, int? output, int stepCount)
    {
        var graph = model.Graph.Clone();
        // The last row is the series itself.
        GraphSimplifier.FixSizes(graph, new Dictionary<string, long> { ["N"] = stepCount + 1 }, model.Functions);
        GraphSimplifier.Fold(graph);
        Backward.Prepare(graph, model.Functions);
        var unknown = PutLineInFront(graph, encoder, stepCount);
        ShapeInference.Infer(graph);

        var builder = new GraphBuilder(graph);
        using var scope = builder.Scope("contributions");
        var attention = graph.Outputs.Where(name => name != TemporalTask.Logits).ToArray();
        graph.Outputs.Clear();
        var logits = builder[TemporalTask.Logits];
        var chosen = Chosen(logits.Slice(0, stepCount, stepCount + 1), output);
        var explained = (logits.Slice(0, 0, stepCount) * chosen).ReduceSum([0, 1]) / stepCount;
        var gradient = Backward.Differentiate(explained, [Line])[Line].ReduceSum([0], keepDims: true);
        var ofColumns = gradient * (builder[Input] - builder[unknown]);
        var ofVariables = ofColumns.MatMul(builder.Constant(VariablesOfColumns(encoder, encoder.ColumnCount, isMean: false)));
        builder.Output(Contributions, ofVariables);
        foreach (var name in attention)
        {
            var seen = builder[name].Slice(0, stepCount, stepCount + 1);
            if (name == Tscan.FeatureImportance)
                builder.Output(VariableAttention, seen.MatMul(builder.Constant(VariablesOfColumns(encoder, seen.Shape[1].Value, isMean: true))));
            else
                builder.Output(TimeAttention, seen.Reshape(1, -1) / seen.Shape[1].Value);
        }
        builder.Output(VariableImportance, ofVariables.ReduceSum([1]).Apply("Abs"));
        builder.Output(TimeImportance, ofVariables.ReduceSum([2]).Apply("Abs"));
        GraphSimplifier.RemoveUnused(graph);
        GraphSimplifier.NameOutputs(graph);
        return builder.ToModel();
    }

    private const string Line = "contributions/line";

    // What the model took as its input becomes points between a series of which nothing is known and the new input.
    private static string PutLineInFront(Graph graph, SeriesEncoder encoder, int stepCount)
    {
        foreach (var node in graph.Nodes)
        {
            for (var i = 0; i < node.Inputs.Count; i++)
                node.Inputs[i] = node.Inputs[i] == Input ? Line : node.Inputs[i];
        }
        var (bins, columns) = (encoder.Preprocessing.BinCount, encoder.ColumnCount);
        var shares = Enumerable.Range(0, stepCount + 1).Select(i => i == stepCount ? 1 : (i + 0.5f) / stepCount).ToArray();

        var front = new GraphBuilder(new Graph());
        using var scope = front.Scope("contributions/front");
        var x = front.Input(Input, TensorElementType.Float, [1, bins, columns]);
        var unknown = front.Constant(Onnx.Tensor.Create<float>(encoder.EncodeNothing(), 1, bins, columns));
        var line = unknown + ((x - unknown) * front.Constant(Onnx.Tensor.Create<float>(shares, stepCount + 1, 1, 1)));
        var (nodes, last) = (front.Graph.Nodes, front.Graph.Nodes[^1]);
        last.Outputs[0] = Line;
        foreach (var (name, info) in front.Graph.Values.Where(value => value.Key != line.Name))
            graph.Values[name] = info;
        graph.Values[Line] = new(TensorElementType.Float, [stepCount + 1, bins, columns]);
        foreach (var (name, tensor) in front.Graph.Initializers)
            graph.Initializers[name] = tensor;
        graph.Nodes.InsertRange(0, nodes);
        return unknown.Name;
    }

    // [1, outputs]: 1 for the output that is explained.
    private static Value Chosen(Value logits, int? output)
    {
        var count = logits.Shape[1].Value;
        var builder = logits.Builder;
        if (output is { } known)
            return builder.Constant(Onnx.Tensor.Create<float>([.. Enumerable.Range(0, (int)count).Select(i => i == known ? 1f : 0f)], 1, count));
        var isLargest = builder.Op("Equal", [logits, logits.ReduceMax([1], keepDims: true)]);
        return isLargest.Cast(TensorElementType.Float);
    }

    // [columns, variables]: the sum over a variable's columns, or their mean.
    private static Onnx.Tensor VariablesOfColumns(SeriesEncoder encoder, long columnCount, bool isMean)
    {
        var owners = encoder.VariableOfColumns().AsSpan(0, (int)columnCount);
        var matrix = new float[owners.Length * encoder.Variables.Count];
        for (var column = 0; column < owners.Length; column++)
        {
            if (owners[column] is >= 0 and var owner)
                matrix[(column * encoder.Variables.Count) + owner] = isMean ? 1f / owners.Count(owner) : 1;
        }
        return Onnx.Tensor.Create<float>(matrix, columnCount, encoder.Variables.Count);
    }
}
