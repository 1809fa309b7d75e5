using System.Globalization;
using System.Text;
using GenerateStory.Reading;
using Microsoft.ML.Attention;

namespace GenerateStory.Measuring;

/// <summary>The figures of both ways to tell stories as a table in Markdown, with 95 % confidence intervals over stories.</summary>
internal sealed class ResultTable(Tally consistent, Tally separate)
{
    public override string ToString()
    {
        var text = new StringBuilder();
        text.AppendLine(CultureInfo.InvariantCulture, $"{consistent.Count} stories of characters that no training picture shows.");
        text.AppendLine();
        text.AppendLine("| | consistent | separate | difference |");
        text.AppendLine("|---|---|---|---|");
        Add("Pairs of pictures that agree in what the prompt leaves open", tally => tally.Agreements(null, isSaid: false));
        for (var i = 1; i < PictureAttribute.OfCharacter; i++)
        {
            var attribute = i;
            Add($"... {PictureAttribute.All[i].Name}", tally => tally.Agreements(attribute, isSaid: false));
        }
        Add("Pairs of pictures that agree in what it says", tally => tally.Agreements(null, isSaid: true));
        Add("Pictures that show what it says of the character", tally => tally.Obedience(null, ofCharacter: true));
        Add("Pictures that show what it says of the situation", tally => tally.Obedience(null, ofCharacter: false));
        for (var i = PictureAttribute.OfCharacter; i < PictureAttribute.All.Count; i++)
        {
            var attribute = i;
            Add($"... {PictureAttribute.All[i].Name}", tally => tally.Obedience(attribute, ofCharacter: false));
        }
        return text.ToString();

        void Add(string what, Func<Tally, double[]> figure)
        {
            var (one, other) = (figure(consistent), figure(separate));
            text.AppendLine($"| {what} | {Shown(Tally.Mean(one))} | {Shown(Tally.Mean(other))} | {Shown(Tally.Difference(one, other))} |");
        }
    }

    private static string Shown(BootstrapInterval figure) => double.IsNaN(figure.Value) ? "" : string.Create(
        CultureInfo.InvariantCulture, $"{100 * figure.Value:0.0} % [{100 * figure.Low:0.0}, {100 * figure.High:0.0}]");
}
