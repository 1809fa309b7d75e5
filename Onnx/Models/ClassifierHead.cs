using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>
/// Finds the last layer of any image classifier and makes it anew for other classes, so that an exported model can be fine-tuned.
/// </summary>
public static class ClassifierHead
{
    // What may stand between the last layer and the output.
    private static readonly HashSet<string> Passed =
        ["Identity", "Dropout", "Flatten", "Squeeze", "Reshape", "Relu", "GlobalAveragePool", "AveragePool", "ReduceMean"];

    /// <summary>
    /// A copy of a classifier whose last fully connected layer (<c>Gemm</c>, <c>MatMul</c> with or without <c>Add</c>, or <c>Conv</c>)
    /// has fresh weights and gives the logits of other classes: a softmax behind it is taken away, and the number of images is open.
    /// </summary>
    /// <param name="model">A classifier with one input [N, 3, H, W] and one output [N, classes] of logits or probabilities.</param>
    /// <param name="classCount">The number of classes.</param>
    /// <param name="weights">Where the layer's weight and bias come from.</param>
    /// <returns>A model of the current operator set with the symbol N for the number of images.</returns>
    /// <exception cref="NotSupportedException">The model has no such layer, input or output; the message says what it has.</exception>
    public static OnnxModel Replace(OnnxModel model, int classCount, WeightSource weights)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(weights);
        ArgumentOutOfRangeException.ThrowIfLessThan(classCount, 1);
        var graph = model.Graph.Clone();
        var input = OpenImageInput(graph);
        if (graph.Outputs.Count != 1)
            throw new NotSupportedException($"An image classifier has one output; this model has {Listed(graph, graph.Outputs)}.");
        OpsetUpgrade.Apply(graph, model.Opsets.GetValueOrDefault("", OnnxModel.DefaultOpset));
        new Search(graph, classCount, weights).Run();

        var (inputName, inputInfo) = (graph.Inputs[0], input);
        graph.Values.Clear();
        graph.Values[inputName] = inputInfo;
        ShapeInference.Infer(graph, model.Functions);
        GraphSimplifier.RemoveUnused(graph);
        if (graph.Info(graph.Outputs[0]).Shape is not { Rank: 2 } shape || shape[1] != classCount || shape[0] != inputInfo.Shape![0])
        {
            throw new NotSupportedException($"With a new head and an open number of images the output is {Listed(graph, graph.Outputs)}, "
                + $"not [N, {classCount}]: export the model with a dynamic batch axis.");
        }
        return new()
        {
            IrVersion = Math.Max(model.IrVersion, 10),
            Producer = model.Producer,
            Graph = graph,
            Functions = [.. model.Functions],
            Opsets = new(model.Opsets) { [""] = OnnxModel.DefaultOpset },
            Metadata = new(model.Metadata),
        };
    }

    private static ValueInfo OpenImageInput(Graph graph)
    {
        if (graph.Inputs.Count == 1 && graph.Info(graph.Inputs[0]) is { Type: TensorElementType.Float, Shape: { Rank: 4 } shape }
            && (!shape[1].IsKnown || shape[1].Value == 3))
        {
            return new(TensorElementType.Float, Shape.Create(["N", 3, Open(shape[2], "H"), Open(shape[3], "W")]));
        }
        throw new NotSupportedException(
            $"An image classifier has one input of Float [N, 3, H, W]; this model has {Listed(graph, graph.Inputs)}.");

        static Dim Open(Dim dim, string symbol) => dim.IsKnown ? dim : new(symbol);
    }

    private static string Listed(Graph graph, IEnumerable<string> names) =>
        string.Join(", ", names.Select(name => $"'{name}' of {graph.Info(name).Type} {graph.Info(name).Shape}"));

    /// <summary>Walks from the output up to the last layer.</summary>
    private sealed class Search(Graph graph, int classCount, WeightSource weights)
    {
        private readonly Dictionary<string, Node> _producers = graph.Nodes
            .SelectMany(node => node.Outputs.Where(output => output.Length > 0).Select(output => (output, node)))
            .ToDictionary(entry => entry.output, entry => entry.node, StringComparer.Ordinal);

        public void Run()
        {
            var (value, bias, passed) = (graph.Outputs[0], default(string), new List<Node>());
            while (true)
            {
                if (!_producers.TryGetValue(value, out var node) || node.Domain.Length > 0)
                    throw Missing(node);
                switch (node.OpType)
                {
                    case "Softmax" or "LogSoftmax":
                        Bypass(node);
                        break;
                    case "Add" when bias is null && node.Inputs.FirstOrDefault(graph.Initializers.ContainsKey) is { } added:
                        bias = added;
                        value = node.Inputs.First(name => name != added);
                        continue;
                    case "Gemm" or "Conv" when graph.Initializers.TryGetValue(node.Inputs[1], out var weight):
                        var axis = node.OpType == "Conv" || node.Attributes.Int("transB", 0) == 1 ? 0 : 1;
                        Renew(node.Inputs[1], axis, bias ?? node.Inputs.ElementAtOrDefault(2), passed);
                        return;
                    case "MatMul" when graph.Initializers.TryGetValue(node.Inputs[1], out var weight) && weight.Dims.Count == 2:
                        Renew(node.Inputs[1], 1, bias, passed);
                        return;
                    case "MatMul" when _producers.GetValueOrDefault(node.Inputs[1]) is { OpType: "Transpose" } transpose
                        && graph.Initializers.TryGetValue(transpose.Inputs[0], out var weight) && weight.Dims.Count == 2:
                        Renew(transpose.Inputs[0], 0, bias, passed);
                        return;
                    default:
                        if (!Passed.Contains(node.OpType))
                            throw Missing(node);
                        passed.Add(node);
                        break;
                }
                value = node.Inputs[0];
            }
        }

        private void Bypass(Node node)
        {
            graph.Nodes.Remove(node);
            var (from, to) = (node.Outputs[0], node.Inputs[0]);
            foreach (var inputs in graph.Nodes.Select(other => other.Inputs).Append(graph.Outputs))
            {
                for (var i = 0; i < inputs.Count; i++)
                    inputs[i] = inputs[i] == from ? to : inputs[i];
            }
        }

        private void Renew(string weight, int axis, string? bias, List<Node> passed)
        {
            var classes = graph.Initializers[weight].Dims[axis];
            Draw(weight, axis, Initialization.TruncatedNormal());
            if (!string.IsNullOrEmpty(bias) && graph.Initializers.TryGetValue(bias, out var tensor))
                Draw(bias, tensor.Dims.ToList().LastIndexOf(classes), Initialization.Zeros);
            foreach (var sizes in passed.Where(node => node.OpType == "Reshape").Select(node => node.Inputs[1]))
            {
                if (graph.Initializers.TryGetValue(sizes, out var old))
                    graph.Initializers[sizes] = Tensor.Int64([.. old.ToInt64().Select(size => size == classes ? classCount : size)]);
            }
        }

        private void Draw(string name, int axis, Initialization initialization)
        {
            long[] dims = [.. graph.Initializers[name].Dims];
            if (axis >= 0)
                dims[axis] = classCount;
            graph.Initializers[name] = weights.Find(name, dims, initialization) is { } tensor && tensor.Dims.SequenceEqual(dims) ? tensor
                : throw new InvalidDataException($"{weights.Description} has no '{name}' of {Shape.Of(dims)} for the new head.");
        }

        private NotSupportedException Missing(Node? node) => new(
            $"The last layer before output '{graph.Outputs[0]}' cannot be found: it has to be a Gemm, MatMul or Conv with weights of its "
            + $"own, behind it nothing but {string.Join(", ", Passed.Order())}, Softmax; the model has {node?.ToString() ?? "none"} there.");
    }
}
