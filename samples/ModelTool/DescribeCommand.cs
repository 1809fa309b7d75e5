using System.CommandLine;
using System.Text.Json;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Weights;
using Spectre.Console;

namespace ModelTool;

/// <summary><c>modeltool describe</c></summary>
internal static class DescribeCommand
{
    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true };

    private static readonly Argument<string> Subject = new("WHAT")
    {
        Description = "An ONNX file, a checkpoint, or the name of an architecture.",
    };

    private static readonly Option<ImageSize?> Size = ImageSize.Option(
        "The size of the images for which multiplications are counted, where the model leaves it open; without it the published one.");

    private static readonly Option<string?> Entry = new("--entry")
    {
        Description = "The entry of a PyTorch file that holds the weights.",
        HelpName = "name",
    };

    private static readonly Option<bool> AsJson = new("--json") { Description = "Print JSON." };

    public static Command Create()
    {
        var command = new Command("describe",
            "Shows inputs, outputs, parameters, multiplications and operators of a model, or the tensors of a checkpoint.")
        {
            Subject, Size, Entry, AsJson,
        };
        command.SetAction(parsed => (int)Run(parsed));
        return command;
    }

    private static ExitCode Run(ParseResult parsed)
    {
        var subject = parsed.GetRequiredValue(Subject);
        var asJson = parsed.GetValue(AsJson);
        if (!File.Exists(subject))
            DescribeModel(Architecture(subject, parsed.GetValue(Size)), null, asJson);
        else if (Source.IsCheckpoint(subject))
            DescribeCheckpoint(Source.Checkpoint(subject, parsed.GetValue(Entry)), asJson);
        else
            DescribeModel(Source.Model(subject), parsed.GetValue(Size), asJson);
        return ExitCode.Done;
    }

    private static OnnxModel Architecture(string name, ImageSize? size)
    {
        if (!ImageClassifiers.Variants.TryGetValue(name, out var config))
        {
            throw new ToolException(
                ExitCode.InputProblem, $"'{name}' is neither a file nor an architecture; modeltool architectures lists those.");
        }
        size ??= new(config.Input.Size, config.Input.Size);
        var model = Source.Build(config, new ZeroWeights(), size.Height, size.Width);
        model.Metadata["architecture"] = name;
        return model;
    }

    private static void DescribeModel(OnnxModel model, ImageSize? size, bool asJson)
    {
        var description = Source.Describe(model, size);
        var attention = description.Operators.Where(use => use.Domain == AttentionOp.Domain).ToArray();
        if (asJson)
        {
            Console.WriteLine(JsonSerializer.Serialize(new
            {
                producer = model.Producer,
                opsets = model.Opsets.ToDictionary(opset => opset.Key.Length == 0 ? "ai.onnx" : opset.Key, opset => opset.Value),
                metadata = model.Metadata,
                inputs = description.Inputs.Select(Value),
                outputs = description.Outputs.Select(Value),
                parameters = description.ParameterCount,
                statistics = description.StatisticCount,
                parameters_by_module = description.Parameters.Select(group => new
                {
                    module = group.Module, type = group.Type.ToString(), tensors = group.TensorCount, elements = group.ElementCount,
                }),
                macs = description.Macs,
                uncounted = description.UncountedNodes,
                operators = description.Operators.Select(use => new
                {
                    domain = use.Domain, name = use.OpType, calls = use.CallCount, macs = use.Macs,
                    cpu_kernel = use.HasCpuKernel, cuda_kernel = use.HasCudaKernel,
                }),
                attention = attention.Select(use => use.OpType),
            }, Json));
            return;
        }

        foreach (var (key, text) in model.Metadata)
            Console.WriteLine($"{key}: {(key == "labels" ? $"{text.Split('\n').Length} classes" : text)}");
        Console.WriteLine($"Operator sets: {string.Join(", ", model.Opsets.Select(
            opset => $"{(opset.Key.Length == 0 ? "ai.onnx" : opset.Key)} {opset.Value}"))}");
        foreach (var (name, info) in description.Inputs)
            Console.WriteLine($"Input {name}: {info.Type} {info.Shape}");
        foreach (var (name, info) in description.Outputs)
            Console.WriteLine($"Output {name}: {info.Type} {info.Shape}");
        Console.WriteLine($"Parameters: {Report.Number(description.ParameterCount)}"
            + (description.StatisticCount > 0 ? $", and {Report.Number(description.StatisticCount)} running statistics" : ""));
        Console.WriteLine($"Multiplications: {Report.Giga(description.Macs)} GMAC for the inputs above"
            + (description.UncountedNodes.Count > 0
                ? $", without {description.UncountedNodes.Count} nodes of unknown size (give --size): {description.UncountedNodes[0]}, ..."
                : ""));
        Console.WriteLine($"Attention: {(attention.Length == 0 ? "no operator of ml.attention" : string.Join(", ", attention.Select(
            use => $"{use.CallCount} x {use.OpType}")))}");
        Report.Write(ParameterTable(description));
        Report.Write(OperatorTable(description));
    }

    private static object Value(KeyValuePair<string, ValueInfo> value) =>
        new { name = value.Key, type = value.Value.Type?.ToString(), shape = value.Value.Shape?.ToString() };

    private static Table ParameterTable(ModelDescription description)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumns("Module", "Type", "Tensors", "Parameters");
        table.Columns[2].RightAligned();
        table.Columns[3].RightAligned();
        foreach (var group in description.Parameters)
        {
            table.AddRow(
                Markup.Escape(group.Module), group.Type.ToString(), Report.Number(group.TensorCount), Report.Number(group.ElementCount));
        }
        return table;
    }

    private static Table OperatorTable(ModelDescription description)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumns("Operator", "Calls", "GMAC", "Kernels here");
        table.Columns[1].RightAligned();
        table.Columns[2].RightAligned();
        foreach (var use in description.Operators)
        {
            string[] kernels = [.. use.HasCpuKernel ? ["CPU"] : (string[])[], .. use.HasCudaKernel ? ["CUDA"] : (string[])[]];
            table.AddRow(
                Markup.Escape(use.Domain.Length == 0 ? use.OpType : $"{use.Domain}::{use.OpType}"), Report.Number(use.CallCount),
                use.Macs == 0 ? "" : Report.Giga(use.Macs), string.Join(", ", kernels));
        }
        return table;
    }

    private static void DescribeCheckpoint(Checkpoint checkpoint, bool asJson)
    {
        var tensors = checkpoint.Names.ToDictionary(name => name, name => checkpoint.Describe(name));
        if (asJson)
        {
            Console.WriteLine(JsonSerializer.Serialize(new
            {
                notes = checkpoint.Notes,
                tensors = tensors.Select(tensor => new { name = tensor.Key, type = tensor.Value.Type?.ToString(), shape = tensor.Value.Shape?.ToString() }),
                parameters = tensors.Values.Sum(tensor => tensor.Shape!.ElementCount),
            }, Json));
            return;
        }
        foreach (var note in checkpoint.Notes)
            Console.WriteLine(note);
        Console.WriteLine($"Tensors: {tensors.Count}, {Report.Number(tensors.Values.Sum(tensor => tensor.Shape!.ElementCount))} elements");
        var table = new Table().Border(TableBorder.Simple).AddColumns("Tensor", "Type", "Shape");
        foreach (var (name, tensor) in tensors)
            table.AddRow(Markup.Escape(name), tensor.Type.ToString()!, Markup.Escape(tensor.Shape!.ToString()));
        Report.Write(table);
    }
}
