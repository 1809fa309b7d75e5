using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Microsoft.ML.Attention.Vision;

namespace BatchScoring;

/// <summary>How pictures become the input of an ONNX file; a saved pipeline knows that by itself.</summary>
internal static class PreprocessingOptions
{
    private const string Imagenet = "imagenet";

    private static readonly Option<string> Preset = OneOf(new("--preset")
    {
        Description = "For ONNX files: imagenet (shorter side to 256/224 of the size, centre crop, ImageNet's mean and deviation), " +
            "stretch (the same without a crop) or unit (stretch, values in [0, 1]).",
        DefaultValueFactory = _ => Imagenet,
        HelpName = "imagenet|stretch|unit",
    }, Imagenet, "stretch", "unit");

    private static readonly Option<int[]> ImageSize = new("--image-size")
    {
        Description = "For ONNX files: height and width of the model's input in pixels, as 224 or 224x320; 224 unless given.",
        CustomParser = Size,
        HelpName = "pixels",
    };

    private static readonly Option<int?> ShorterSide = new("--shorter-side")
    {
        Description = "For ONNX files: the pixels that the shorter side is resized to before the centre crop.",
        HelpName = "pixels",
    };

    private static readonly Option<ResampleFilter?> Filter = new("--filter")
    {
        Description = "For ONNX files: the resampling filter, as Pillow's; bicubic unless given.",
        HelpName = "bilinear|bicubic|...",
    };

    private static readonly Option<RgbValues?> Mean = new("--mean")
    {
        Description = "For ONNX files: subtracted from red, green and blue in [0, 1].",
        CustomParser = Rgb,
        HelpName = "r,g,b",
    };

    private static readonly Option<RgbValues?> Deviation = new("--std")
    {
        Description = "For ONNX files: divides red, green and blue after that.",
        CustomParser = Rgb,
        HelpName = "r,g,b",
    };

    private static readonly Option<string[]> LabelsFile = new("--labels")
    {
        Description = "For ONNX files: a text file with one class name a line; adds PredictedLabel.",
        CustomParser = Lines,
        HelpName = "file",
    };

    public static IEnumerable<Option> All => [Preset, ImageSize, ShorterSide, Filter, Mean, Deviation, LabelsFile];

    public static ImagePreprocessing Read(ParseResult parsed)
    {
        int[] size = parsed.GetValue(ImageSize) is { Length: 2 } given ? given : [224, 224];
        var stretch = ImagePreprocessing.Stretch(size[0], size[1]);
        var preset = parsed.GetRequiredValue(Preset) switch
        {
            "unit" => new ImagePreprocessing { Height = size[0], Width = size[1] },
            "stretch" => stretch,
            _ => stretch with { ShorterSide = ImagePreprocessing.ImageNet(Math.Max(size[0], size[1])).ShorterSide },
        };
        return preset with
        {
            ShorterSide = parsed.GetValue(ShorterSide) ?? preset.ShorterSide,
            Filter = parsed.GetValue(Filter) ?? preset.Filter,
            Mean = parsed.GetValue(Mean) ?? preset.Mean,
            StandardDeviation = parsed.GetValue(Deviation) ?? preset.StandardDeviation,
        };
    }

    /// <summary>The names of the classes, or null.</summary>
    public static string[]? Labels(ParseResult parsed) => parsed.GetValue(LabelsFile) is { Length: > 0 } names ? names : null;

    private static int[] Size(ArgumentResult result)
    {
        var text = result.Tokens[0].Value;
        var parts = text.Split('x');
        var size = Array.ConvertAll(parts, part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var n) ? n : 0);
        if (size.Length <= 2 && size.All(n => n > 0))
            return [size[0], size[^1]];
        result.AddError($"--image-size {text}: give pixels as 224, or height and width as 224x320.");
        return [];
    }

    private static string[] Lines(ArgumentResult result)
    {
        var file = result.Tokens[0].Value;
        try
        {
            return File.ReadAllLines(file);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            result.AddError($"--labels '{file}' cannot be read: {error.Message}");
            return [];
        }
    }

    private static RgbValues? Rgb(ArgumentResult result)
    {
        var text = result.Tokens[0].Value;
        var values = text.Split(',').Select(part =>
            float.TryParse(part, NumberStyles.Float, CultureInfo.InvariantCulture, out var value) ? value : float.NaN).ToArray();
        if (values.Length == 3 && values.All(float.IsFinite))
            return new(values[0], values[1], values[2]);
        result.AddError($"'{text}' is not three numbers, as 0.485,0.456,0.406.");
        return null;
    }

    private static Option<string> OneOf(Option<string> option, params string[] values)
    {
        option.AcceptOnlyFromAmong(values);
        return option;
    }
}
