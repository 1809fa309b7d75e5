using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace ModelTool;

/// <summary>The size of images in pixels.</summary>
internal sealed record ImageSize(int Height, int Width)
{
    /// <summary>The option <c>--size</c>.</summary>
    public static Option<ImageSize?> Option(string description) => new("--size")
    {
        Description = description,
        HelpName = "HEIGHTxWIDTH",
        CustomParser = Parse,
    };

    public override string ToString() => $"{Height} x {Width}";

    private static ImageSize? Parse(ArgumentResult result)
    {
        var text = result.Tokens[0].Value;
        var sides = text.Split('x');
        if (sides.Length is 1 or 2 && TryParse(sides[0], out var height) && TryParse(sides[^1], out var width))
            return new(height, width);
        result.AddError($"--size {text}: give one side, such as 224, or height and width, such as 256x192.");
        return null;
    }

    private static bool TryParse(string text, out int side) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out side) && side > 0;
}
