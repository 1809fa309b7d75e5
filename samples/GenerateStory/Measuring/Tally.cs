using GenerateStory.Reading;
using Microsoft.ML.Attention;

namespace GenerateStory.Measuring;

/// <summary>What was read from the pictures of stories that were told in one way.</summary>
internal sealed class Tally
{
    private readonly List<(HeldBackStory Story, int[][] Read)> _told = [];

    public int Count => _told.Count;

    /// <summary>Adds a story.</summary>
    /// <param name="story">The story.</param>
    /// <param name="read">For each picture the value of each attribute.</param>
    public void Add(HeldBackStory story, int[][] read) => _told.Add((story, read));

    /// <summary>
    /// For each story the share of pairs of its pictures that agree in an attribute of the character; not a number where the attribute does
    /// not count.
    /// </summary>
    /// <param name="attribute">The attribute; null for the mean of all that count.</param>
    /// <param name="isSaid">Whether attributes count that the prompt says, or those that it leaves open.</param>
    public double[] Agreements(int? attribute, bool isSaid) => PerStory(attribute, 0, PictureAttribute.OfCharacter, (story, read, i) =>
        story.Says(i) == isSaid ? Agreement.OfPairs([.. read.Select(values => values[i])]) : double.NaN);

    /// <summary>For each story the share of its pictures that show what the prompt says of an attribute.</summary>
    /// <param name="attribute">The attribute; null for the mean of all that the prompt says.</param>
    /// <param name="ofCharacter">Whether the mean is over the attributes of the character, or over those of the situation.</param>
    public double[] Obedience(int? attribute, bool ofCharacter) => PerStory(
        attribute, ofCharacter ? 0 : PictureAttribute.OfCharacter, ofCharacter ? PictureAttribute.OfCharacter : PictureAttribute.All.Count,
        (story, read, i) => i >= PictureAttribute.OfCharacter || story.Says(i)
            ? read.Index().Average(picture => story.IsRight(picture.Index, i, picture.Item[i]) ? 1.0 : 0)
            : double.NaN);

    /// <summary>The mean over stories, with its confidence interval.</summary>
    public static BootstrapInterval Mean(double[] perStory) => new Bootstrap(2000).Measure(perStory.Length, weights => WeightedMean(perStory, weights));

    /// <summary>The mean difference of two ways to tell the same stories, with its confidence interval.</summary>
    public static BootstrapInterval Difference(double[] one, double[] other) => new Bootstrap(2000).Measure(
        one.Length, weights => WeightedMean(one, weights) - WeightedMean(other, weights));

    private double[] PerStory(int? attribute, int first, int end, Func<HeldBackStory, int[][], int, double> figure)
    {
        int[] attributes = attribute is { } one ? [one] : [.. Enumerable.Range(first, end - first)];
        return [.. _told.Select(told => attributes.Select(i => figure(told.Story, told.Read, i)).Where(value => !double.IsNaN(value))
            .DefaultIfEmpty(double.NaN).Average())];
    }

    private static double WeightedMean(double[] values, int[] weights)
    {
        double sum = 0, count = 0;
        for (var i = 0; i < values.Length; i++)
        {
            if (!double.IsNaN(values[i]))
                (sum, count) = (sum + (weights[i] * values[i]), count + weights[i]);
        }
        return sum / count;
    }
}
