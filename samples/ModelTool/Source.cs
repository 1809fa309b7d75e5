using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;

namespace ModelTool;

/// <summary>Opens what the user names.</summary>
internal static class Source
{
    public static ImageClassifierConfig Architecture(string name)
    {
        try
        {
            return ImageClassifiers.Find(name);
        }
        catch (ArgumentException error)
        {
            throw new ToolException(ExitCode.Usage, error.Message, error);
        }
    }

    public static Checkpoint Checkpoint(string path, string? entry = null) =>
        Read(path, () => Microsoft.ML.Attention.Onnx.Weights.Checkpoint.Load(path, entry));

    public static OnnxModel Model(string path) => Read(path, () => OnnxModel.Load(path));

    /// <summary>Whether the content of a file is that of a checkpoint.</summary>
    public static bool IsCheckpoint(string path) => Read(path, () =>
    {
        Span<byte> start = stackalloc byte[9];
        using var stream = File.OpenRead(path);
        var length = stream.ReadAtLeast(start, start.Length, throwOnEndOfStream: false);
        // A zip file of PyTorch, a pickle, or the header of safetensors.
        return length == start.Length && (start.StartsWith("PK\x03\x04"u8) || start[0] == 0x80 || start[^1] == '{');
    });

    /// <summary>Builds an architecture; weights that do not fit are a problem of the input.</summary>
    public static OnnxModel Build(ImageClassifierConfig config, WeightSource weights, int? height, int? width)
    {
        try
        {
            return config.Build(weights, height, width);
        }
        catch (InvalidDataException error)
        {
            throw new ToolException(ExitCode.InputProblem, error.Message, error);
        }
        catch (ArgumentException error)
        {
            throw new ToolException(ExitCode.Usage, error.Message, error);
        }
    }

    public static ModelDescription Describe(OnnxModel model, ImageSize? size)
    {
        try
        {
            return ModelDescription.Of(model, InputShapes.Of(model, size));
        }
        catch (Exception error) when (error is InvalidDataException or NotSupportedException)
        {
            throw new ToolException(ExitCode.InputProblem, error.Message, error);
        }
    }

    /// <summary>Reads a file, or makes something of it; what is wrong with it is a problem of the input.</summary>
    public static T Read<T>(string path, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception error) when (error is InvalidDataException or NotSupportedException)
        {
            throw new ToolException(ExitCode.InputProblem, error.Message, error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ToolException(ExitCode.InputProblem, $"'{path}' cannot be read: {error.Message}", error);
        }
    }
}
