using Microsoft.ML.Attention.Onnx;

namespace ModelTool;

/// <summary>What is wrong with a model before it runs: names, order, functions and operator sets.</summary>
internal static class StructureCheck
{
    public static IReadOnlyList<string> Problems(OnnxModel model)
    {
        var problems = new List<string>();
        Check(model, model.Graph, model.Graph.Name, model.Opsets, problems);
        foreach (var function in model.Functions)
            Check(model, function.Body, $"{function.Domain}::{function.Name}", function.Opsets, problems);
        foreach (var twice in model.Functions.GroupBy(function => (function.Domain, function.Name)).Where(group => group.Count() > 1))
            problems.Add($"function '{twice.Key.Domain}::{twice.Key.Name}' is defined {twice.Count()} times");
        return problems;
    }

    private static void Check(OnnxModel model, Graph graph, string where, IReadOnlyDictionary<string, long> opsets, List<string> problems)
    {
        var known = new HashSet<string>(StringComparer.Ordinal);
        foreach (var name in graph.Inputs.Concat(graph.Initializers.Keys))
            Define(name);
        foreach (var node in graph.Nodes)
        {
            foreach (var input in node.Inputs.Where(input => input.Length > 0 && !known.Contains(input)))
                problems.Add($"{where}: node '{node.Name}' ({node.OpType}) takes '{input}', which nothing before it gives");
            foreach (var output in node.Outputs.Where(output => output.Length > 0))
                Define(output);
            if (!opsets.ContainsKey(node.Domain))
                problems.Add($"{where}: node '{node.Name}' is of domain '{node.Domain}', of which no operator set is imported");
            if (node.Domain.Length > 0
                && !model.Functions.Exists(function => function.Domain == node.Domain && function.Name == node.OpType))
            {
                problems.Add($"{where}: '{node.Domain}::{node.OpType}' has no definition in the model, which so runs only with its kernels");
            }
        }
        foreach (var output in graph.Outputs.Where(output => !known.Contains(output)))
            problems.Add($"{where}: nothing gives the output '{output}'");

        void Define(string name)
        {
            if (!known.Add(name))
                problems.Add($"{where}: '{name}' is given twice");
        }
    }
}
