using System.CommandLine;
using System.Globalization;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Ops;

namespace ModelTool;

/// <summary><c>modeltool check</c></summary>
internal static class CheckCommand
{
    private static readonly Argument<string> ModelFile = new("MODEL") { Description = "An ONNX file." };

    private static readonly Option<Provider> RunsOn = new("--provider")
    {
        Description = "Where the model runs.",
        DefaultValueFactory = _ => Provider.Cpu,
        HelpName = "cpu|cuda",
    };

    private static readonly Option<ImageSize?> Size = ImageSize.Option(
        "The size of the images where the model leaves it open; without it the one in its metadata, or 224.");

    private static readonly Option<double> Tolerance = new("--tolerance")
    {
        Description = "The largest difference between kernels and definitions, as a part of an output's largest value.",
        DefaultValueFactory = _ => 1e-3,
        HelpName = "number",
    };

    public static Command Create()
    {
        var command = new Command("check",
            "Checks a model's structure and shapes, runs it on a random input, and compares the kernels with the operators' definitions.")
        {
            ModelFile, RunsOn, Size, Tolerance,
        };
        command.SetAction(parsed => (int)Run(parsed));
        return command;
    }

    private static ExitCode Run(ParseResult parsed)
    {
        var path = parsed.GetRequiredValue(ModelFile);
        var provider = parsed.GetValue(RunsOn);
        var model = Source.Model(path);
        var problems = StructureCheck.Problems(model);
        if (problems.Count > 0)
            return Failed([.. problems]);
        Passed($"structure: {model.Graph.Nodes.Count} nodes, {model.Functions.Count} functions");

        var shapes = InputShapes.Of(model, parsed.GetValue(Size));
        ModelDescription description;
        try
        {
            description = ModelDescription.Of(model, shapes);
        }
        catch (Exception error) when (error is InvalidDataException or NotSupportedException)
        {
            return Failed(error.Message);
        }
        Passed($"shapes: {string.Join(", ", description.Inputs.Concat(description.Outputs).Select(value => $"{value.Key} {value.Value.Shape}"))}");

        using var definitions = ModelRun.Open(path, provider, withKernels: false, shapes);
        var expected = definitions.Outputs();
        var infinite = expected.Where(output => !Array.TrueForAll(output.Value, double.IsFinite)).Select(output => output.Key).ToArray();
        if (infinite.Length > 0)
            return Failed($"output {string.Join(", ", infinite)} is not finite for a random input");
        Passed("outputs are finite");

        var operators = description.Operators.Where(use => use.Domain == AttentionOp.Domain).Select(use => use.OpType).ToArray();
        if (operators.Length == 0)
        {
            Passed(Time($"time on {provider}", definitions));
            return ExitCode.Done;
        }
        using var kernels = ModelRun.Open(path, provider, withKernels: true, shapes);
        var actual = kernels.Outputs();
        var difference = expected.Select(output => Difference(output.Value, actual[output.Key])).DefaultIfEmpty().Max();
        var comparison = string.Create(CultureInfo.InvariantCulture,
            $"kernels of {string.Join(", ", operators)} against definitions: largest relative difference {difference:0.0e+0}");
        if (difference > parsed.GetValue(Tolerance))
            return Failed(comparison);
        Passed(comparison);
        Passed($"{Time($"time on {provider} with kernels", kernels)}, {Time("with definitions", definitions)}");
        return ExitCode.Done;
    }

    // Relative to the largest value of the output.
    private static double Difference(double[] expected, double[] actual)
    {
        if (expected.Length != actual.Length || !Array.TrueForAll(actual, double.IsFinite))
            return double.PositiveInfinity;
        var scale = expected.Select(Math.Abs).DefaultIfEmpty().Max();
        return expected.Zip(actual, (x, y) => Math.Abs(x - y)).DefaultIfEmpty().Max() / Math.Max(scale, double.Epsilon);
    }

    private static string Time(string what, ModelRun run) =>
        string.Create(CultureInfo.InvariantCulture, $"{what}: {run.Milliseconds():0.0} ms");

    private static void Passed(string what) => Console.WriteLine($"ok    {what}");

    private static ExitCode Failed(params string[] problems)
    {
        foreach (var problem in problems)
            Console.WriteLine($"wrong {problem}");
        return ExitCode.CheckFailed;
    }
}
