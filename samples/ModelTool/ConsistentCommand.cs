using System.CommandLine;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Surgery;
using Spectre.Console;

namespace ModelTool;

/// <summary><c>modeltool consistent</c></summary>
internal static class ConsistentCommand
{
    private static readonly Argument<string> UnetFile = new("UNET")
    {
        Description = "The UNet of Stable Diffusion or SDXL as an ONNX file, such as unet/model.onnx of optimum.",
    };

    private static readonly Option<string> Output = new("--output", "-o")
    {
        Description = "The ONNX file to write; in the UNet's folder it shares the files that the weights are in.",
        HelpName = "file",
        Required = true,
    };

    private static readonly Option<string?> Configuration = new("--config")
    {
        Description = "The UNet's config.json, against which the layers are checked; without it the one in the UNet's folder, if any.",
        HelpName = "file",
    };

    private static readonly Option<bool> WithoutGuidance = new("--without-guidance")
    {
        Description = "For batches that have the images once, not without and with the prompt.",
    };

    private static readonly Option<bool> WithFreeU = new("--freeu")
    {
        Description = "Add FreeU too, with the factors of StoryDiffusion's app.",
    };

    private static readonly Option<bool> Overwrite = new("--overwrite") { Description = "Replace the output if it exists." };

    public static Command Create()
    {
        var command = new Command("consistent",
            "Makes an exported UNet consistent: its self-attentions on the way up see the other images of a story (StoryDiffusion).")
        {
            UnetFile, Output, Configuration, WithoutGuidance, WithFreeU, Overwrite,
        };
        command.SetAction(parsed => (int)Run(parsed));
        return command;
    }

    private static ExitCode Run(ParseResult parsed)
    {
        var path = parsed.GetRequiredValue(UnetFile);
        var output = parsed.GetRequiredValue(Output);
        if (File.Exists(output) && !parsed.GetValue(Overwrite))
            throw new ToolException(ExitCode.OutputProblem, $"'{output}' exists; give --overwrite to replace it.");
        var unet = Source.Read(path, () => OnnxModel.Load(path, leaveExternalData: true));
        var configPath = parsed.GetValue(Configuration) ?? Path.Combine(Path.GetDirectoryName(Path.GetFullPath(path))!, "config.json");
        var config = parsed.GetValue(Configuration) is not null || File.Exists(configPath)
            ? Source.Read(configPath, () => UNet2DConditionConfig.Read(configPath))
            : null;
        var consistent = Source.Read(path, () => ConsistentUnet.Rewrite(
            parsed.GetValue(WithFreeU) ? FreeU.Rewrite(unet) : unet,
            new() { GroupCount = parsed.GetValue(WithoutGuidance) ? 1 : 2, Config = config }));
        Write(consistent.Model, output);

        Console.WriteLine($"{output}: {consistent.Layers.Count} consistent self-attentions at {consistent.LevelCount} resolutions"
            + (config is null ? "" : $", all that '{configPath}' tells of") + (parsed.GetValue(WithFreeU) ? "; FreeU" : ""));
        var table = new Table().Border(TableBorder.Simple).AddColumns("Layer", "Self-attention", "Channels", "Heads", "Mask");
        foreach (var layer in consistent.Layers)
        {
            table.AddRow(
                Report.Number(layer.Index), Markup.Escape(layer.Name), Report.Number(layer.Channels), Report.Number(layer.HeadCount),
                layer.MaskInput);
        }
        Report.Write(table);
        return ExitCode.Done;
    }

    private static void Write(OnnxModel model, string output)
    {
        try
        {
            model.Save(output);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidOperationException)
        {
            throw new ToolException(ExitCode.OutputProblem, $"'{output}' cannot be written: {error.Message}", error);
        }
    }
}
