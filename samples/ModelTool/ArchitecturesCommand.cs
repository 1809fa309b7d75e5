using System.CommandLine;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Spectre.Console;

namespace ModelTool;

/// <summary><c>modeltool architectures</c></summary>
internal static class ArchitecturesCommand
{
    public static Command Create()
    {
        var command = new Command("architectures", "Lists the architectures with parameters, input and multiplications.");
        command.SetAction(_ => (int)Run());
        return command;
    }

    private static ExitCode Run()
    {
        var table = new Table().Border(TableBorder.Simple).AddColumns("Architecture", "Parameters", "Input", "GMAC", "Mean", "Resizing");
        foreach (var index in new[] { 1, 3 })
            table.Columns[index].RightAligned();
        foreach (var (name, config) in ImageClassifiers.Variants.OrderBy(pair => pair.Key, StringComparer.Ordinal))
        {
            var input = config.Input;
            var description = ModelDescription.Of(Source.Build(config, new ZeroWeights(), input.Size, input.Size));
            table.AddRow(
                name, Report.Number(description.ParameterCount), $"{config.InputChannels} x {input.Size} x {input.Size}",
                Report.Giga(description.Macs), $"{input.Mean.Red}, {input.Mean.Green}, {input.Mean.Blue}",
                input.IsBicubic ? "bicubic" : "bilinear");
        }
        Report.Write(table);
        return ExitCode.Done;
    }
}
