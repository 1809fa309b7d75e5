using global::GenerateStory.Drawing;
using global::GenerateStory.Measuring;
using global::GenerateStory.Reading;
using global::GenerateStory.Stories;

namespace Samples.Tests.GenerateStory;

public sealed class MeasuringTests
{
    private static readonly Character Fox = new()
    {
        Species = Species.Fox, Fur = Fur.Orange, Garment = Garment.Coat, GarmentDye = Dye.Red, Hat = Hat.Cap, HatDye = Dye.Blue,
        Glasses = Glasses.None,
    };

    private static readonly HeldBackStory Story = new(
        Fox, Said.Garment | Said.Hat,
        [
            new() { Pose = Pose.Waving, Prop = Prop.None, Scene = Scene.Beach },
            new() { Pose = Pose.Sitting, Prop = Prop.Balloon, Scene = Scene.Night },
            new() { Pose = Pose.Jumping, Prop = Prop.None, Scene = Scene.Snow },
        ]);

    [Fact]
    public void AStorySaysWhatItSays()
    {
        Assert.Equal("a fox in a coat with a hat", Story.Text.Character);
        Assert.Equal(["waving on the beach", "sitting with a balloon at night", "jumping in the snow"], Story.Text.Lines);
        // Species and garment are said; of the hat only that there is one.
        Assert.Equal([true, false, true, false, false, false, false], Enumerable.Range(0, PictureAttribute.OfCharacter).Select(Story.Says));
    }

    [Fact]
    public void StoriesAreAboutHeldBackCharactersInScenesThatDiffer()
    {
        var stories = Enumerable.Range(0, 100).Select(HeldBackStory.Draw).ToArray();
        Assert.All(stories, story => Assert.True(story.Character.IsHeldBack));
        Assert.All(stories, story => Assert.Equal(5, story.Situations.Select(situation => situation.Scene).Distinct().Count()));
        Assert.Equal(HeldBackStory.Draw(3).Text.Lines, HeldBackStory.Draw(3).Text.Lines);
    }

    [Theory]
    [InlineData(1, new[] { 2, 2, 2, 2 })]
    [InlineData(0.5, new[] { 2, 2, 2, 0 })]
    [InlineData(0, new[] { 0, 1, 2 })]
    public void PairsOfPicturesAgree(double share, int[] values) => Assert.Equal(share, Agreement.OfPairs(values), 1e-9);

    [Fact]
    public void FiguresAreOfWhatIsSaidAndOfWhatIsLeftOpen()
    {
        var tally = new Tally();
        // Pictures as they are drawn, but for the fur in the last one and the garment in the first one.
        int[][] read = [.. Story.Situations.Select(situation =>
            PictureAttribute.All.Select(attribute => attribute.Of(new(Fox, situation, Company.One, Seed: 0))).ToArray())];
        read[2][1] = (int)Fur.Pink;
        read[0][2] = (int)Garment.Dress;
        tally.Add(Story, read);

        Assert.Equal([1.0 / 3], tally.Agreements(attribute: 1, isSaid: false), (a, b) => Math.Abs(a - b) < 1e-9);
        Assert.Equal([(4 + (1.0 / 3)) / 5], tally.Agreements(attribute: null, isSaid: false), (a, b) => Math.Abs(a - b) < 1e-9);
        Assert.Equal([double.NaN], tally.Agreements(attribute: 2, isSaid: false));
        Assert.Equal([2.0 / 3], tally.Obedience(attribute: 2, ofCharacter: true), (a, b) => Math.Abs(a - b) < 1e-9);
        Assert.Equal([1.0], tally.Obedience(attribute: null, ofCharacter: false));
        Assert.Contains("| ... fur | 33.3 % [33.3, 33.3] |", new ResultTable(tally, tally).ToString());
    }

    [Fact]
    public void AStoryIsReadFromAFile()
    {
        using var folder = new TemporaryFolder();
        var file = Path.Combine(folder.Path, "story.txt");
        File.WriteAllText(file, "a bear\n\nwaving #Hello.\nsitting\n");
        var text = StoryText.Read(file);
        Assert.Equal(("a bear", "waving #Hello.", "sitting"), (text.Character, text.Lines[0], text.Lines[1]));
        File.WriteAllText(file, "a bear\n");
        Assert.Contains("is no story", Assert.Throws<InvalidDataException>(() => StoryText.Read(file)).Message);
    }

    [Fact]
    public void TheReaderReadsDrawingsOfHeldBackCharacters()
    {
        using var reader = AttributeReader.Open();
        Assert.All(
            ReaderTraining.Measure(reader, side: 192, count: 100),
            share => Assert.True(share >= 0.98, $"an attribute is read right in {share:0.0%}"));
    }
}
