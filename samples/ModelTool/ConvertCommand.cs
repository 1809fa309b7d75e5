using System.CommandLine;
using System.Globalization;
using System.Security.Cryptography;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;

namespace ModelTool;

/// <summary><c>modeltool convert</c></summary>
internal static class ConvertCommand
{
    private static readonly Argument<string> CheckpointFile = new("CHECKPOINT")
    {
        Description = "A .safetensors file, or a .pth or .pt file of PyTorch 1.6 or newer; nothing in it is executed. Names of timm, "
            + "torchvision and Hugging Face are understood.",
    };

    private static readonly Option<string> Architecture = new("--architecture", "-a")
    {
        Description = "The architecture; see modeltool architectures.",
        HelpName = "name",
        Required = true,
    };

    private static readonly Option<string?> Entry = new("--entry")
    {
        Description = "The entry of a PyTorch file that holds the weights, such as model_ema, where it is not the usual one.",
        HelpName = "name",
    };

    private static readonly Option<int?> Classes = new("--classes")
    {
        Description = "The number of classes; without it that of the labels, or else of the checkpoint's head.",
        HelpName = "n",
    };

    private static readonly Option<ImageSize?> Size = ImageSize.Option(
        "The size of the images; without it the published one. Architectures that can do so take the weights to other sizes.");

    private static readonly Option<string?> Labels = new("--labels")
    {
        Description = "A text file with the name of a class in each line, kept in the model.",
        HelpName = "file",
    };

    private static readonly Option<string> Output = new("--output", "-o")
    {
        Description = "The ONNX file to write.",
        HelpName = "file",
        Required = true,
    };

    private static readonly Option<bool> Overwrite = new("--overwrite") { Description = "Replace the output if it exists." };

    public static Command Create()
    {
        var command = new Command("convert", "Makes a self-contained ONNX file of an architecture and a checkpoint.")
        {
            CheckpointFile, Architecture, Entry, Classes, Size, Labels, Output, Overwrite,
        };
        command.SetAction(parsed => (int)Run(parsed));
        return command;
    }

    private static ExitCode Run(ParseResult parsed)
    {
        var path = parsed.GetRequiredValue(CheckpointFile);
        var name = parsed.GetRequiredValue(Architecture);
        var output = parsed.GetRequiredValue(Output);
        var config = Source.Architecture(name);
        if (File.Exists(output) && !parsed.GetValue(Overwrite))
            throw new ToolException(ExitCode.OutputProblem, $"'{output}' exists; give --overwrite to replace it.");
        var labels = parsed.GetValue(Labels) is { } file ? ReadLabels(file) : null;

        var checkpoint = Source.Checkpoint(path, parsed.GetValue(Entry));
        foreach (var note in checkpoint.Notes)
            Console.WriteLine($"{path}: {note}");
        config = config with { ClassCount = parsed.GetValue(Classes) ?? labels?.Length ?? HeadClasses(config, checkpoint) ?? config.ClassCount };
        if (labels is not null && labels.Length != config.ClassCount)
            throw new ToolException(ExitCode.Usage, $"--classes is {config.ClassCount}, but --labels names {labels.Length}.");
        var size = parsed.GetValue(Size) ?? new(config.Input.Size, config.Input.Size);
        var model = Source.Build(config, checkpoint, size.Height, size.Width);
        Annotate(model, name, config, size, path, checkpoint, labels);
        Write(model, output);

        var description = ModelDescription.Of(model);
        Console.WriteLine($"{output}: {name}, {config.ClassCount} classes, {size}, "
            + $"{Report.Number(description.ParameterCount)} parameters, {Report.Giga(description.Macs)} GMAC");
        return ExitCode.Done;
    }

    // The bias of the last layer has an element for each class.
    private static int? HeadClasses(ImageClassifierConfig config, Checkpoint checkpoint) => checkpoint.Names
        .Where(name => config.IsHead(name) && name.EndsWith(".bias", StringComparison.Ordinal))
        .Select(name => (int?)checkpoint.Find(name, [], Initialization.Zeros)!.ElementCount)
        .LastOrDefault();

    private static string[] ReadLabels(string file)
    {
        try
        {
            return File.ReadAllLines(file);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ToolException(ExitCode.Usage, $"--labels '{file}' cannot be read: {error.Message}", error);
        }
    }

    private static void Annotate(
        OnnxModel model, string name, ImageClassifierConfig config, ImageSize size, string path, Checkpoint checkpoint, string[]? labels)
    {
        using var stream = File.OpenRead(path);
        var input = config.Input;
        model.Metadata["architecture"] = name;
        model.Metadata["source"] = Path.GetFileName(path);
        model.Metadata["source.sha256"] = Convert.ToHexStringLower(SHA256.HashData(stream));
        if (checkpoint.Notes.Count > 0)
            model.Metadata["source.notes"] = string.Join("; ", checkpoint.Notes);
        model.Metadata["input.size"] = $"{size.Height}x{size.Width}";
        model.Metadata["input.crop_fraction"] = input.CropFraction.ToString(CultureInfo.InvariantCulture);
        model.Metadata["input.resizing"] = input.IsBicubic ? "bicubic" : "bilinear";
        model.Metadata["input.mean"] = Channels(input.Mean);
        model.Metadata["input.std"] = Channels(input.StandardDeviation);
        if (labels is not null)
            model.Metadata["labels"] = string.Join('\n', labels);
    }

    private static string Channels((float Red, float Green, float Blue) values) =>
        string.Create(CultureInfo.InvariantCulture, $"{values.Red},{values.Green},{values.Blue}");

    // Under another name first, so that no half-written file ever has the output's name.
    private static void Write(OnnxModel model, string output)
    {
        var unfinished = $"{output}.{Environment.ProcessId}.tmp";
        try
        {
            File.WriteAllBytes(unfinished, model.ToBytes());
            File.Move(unfinished, output, overwrite: true);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidOperationException)
        {
            File.Delete(unfinished);
            throw new ToolException(ExitCode.OutputProblem, $"'{output}' cannot be written: {error.Message}", error);
        }
    }
}
