using global::GenerateStory.Drawing;
using global::GenerateStory.Reading;

namespace Samples.Tests.GenerateStory;

public sealed class DrawingTests
{
    [Fact]
    public void TheSameSeedDrawsTheSamePicture()
    {
        Assert.Equal(Pixels(7), Pixels(7));
        Assert.NotEqual(Pixels(7), Pixels(8));
    }

    [Fact]
    public void HeldBackCharactersAreInNoTrainingPicture()
    {
        var training = Enumerable.Range(0, 2000).Select(seed => DrawnPicture.Next(seed, isHeldBack: false).Character).ToHashSet();
        var heldBack = Enumerable.Range(0, 2000).Select(seed => DrawnPicture.Next(seed, isHeldBack: true).Character).ToHashSet();
        Assert.Empty(training.Intersect(heldBack));
        Assert.All(training, character => Assert.False(character.IsHeldBack));
        // Each value of each attribute is in training pictures all the same.
        Assert.Equal(6, training.Select(character => character.Species).Distinct().Count());
        Assert.Equal(4 * 5, training.Where(character => character.Hat != Hat.None)
            .Select(character => (character.Hat, character.HatDye)).Distinct().Count());
    }

    [Fact]
    public void EachAttributeChangesThePicture()
    {
        var plain = DrawnPicture.Next(3, isHeldBack: false) with { Company = Company.One };
        plain = plain with
        {
            Character = plain.Character with
            {
                Species = Species.Cat, Fur = Fur.White, Garment = Garment.Coat, GarmentDye = Dye.Red, Hat = Hat.Cap, HatDye = Dye.Red,
                Glasses = Glasses.None,
            },
            Situation = new() { Pose = Pose.Standing, Prop = Prop.None, Scene = Scene.Beach },
        };
        var (character, situation) = (plain.Character, plain.Situation);
        DrawnPicture[] others =
        [
            .. Enum.GetValues<Species>().Select(value => plain with { Character = character with { Species = value } }),
            .. Enum.GetValues<Fur>().Skip(1).Select(value => plain with { Character = character with { Fur = value } }),
            .. Enum.GetValues<Garment>().Where(value => value != Garment.Coat)
                .Select(value => plain with { Character = character with { Garment = value } }),
            .. Enum.GetValues<Dye>().Skip(1).Select(value => plain with { Character = character with { GarmentDye = value } }),
            .. Enum.GetValues<Hat>().Where(value => value != Hat.Cap)
                .Select(value => plain with { Character = character with { Hat = value } }),
            .. Enum.GetValues<Dye>().Skip(1).Select(value => plain with { Character = character with { HatDye = value } }),
            .. Enum.GetValues<Glasses>().Skip(1).Select(value => plain with { Character = character with { Glasses = value } }),
            .. Enum.GetValues<Pose>().Skip(1).Select(value => plain with { Situation = situation with { Pose = value } }),
            .. Enum.GetValues<Prop>().Skip(1).Select(value => plain with { Situation = situation with { Prop = value } }),
            .. Enum.GetValues<Scene>().Skip(1).Select(value => plain with { Situation = situation with { Scene = value } }),
        ];
        Assert.Equal(others.Length, others.Select(drawn => Convert.ToHexString(Pixels(drawn))).Distinct().Count());
    }

    [Fact]
    public void CaptionsLeaveAttributesOutAtRandomAndAddNone()
    {
        var drawn = DrawnPicture.Next(3, isHeldBack: false) with { Company = Company.One };
        var captions = Enumerable.Range(0, 200).Select(seed => Caption.Of(drawn, new Random(seed))).ToArray();
        Assert.True(captions.Distinct().Count() > 20);
        Assert.All(captions, caption => Assert.Contains(Caption.Word(drawn.Character.Species), caption));
        var fur = Caption.Word(drawn.Character.Fur);
        Assert.InRange(captions.Count(caption => caption.Contains(fur + " " + Caption.Word(drawn.Character.Species))), 80, 140);
        var others = Enum.GetValues<Scene>().Where(scene => scene != drawn.Situation.Scene).Select(Caption.Word);
        Assert.All(captions, caption => Assert.DoesNotContain(others, caption.Contains));
    }

    [Theory]
    [InlineData("Orange", "an orange fox in a red sweater with a blue top hat and sunglasses")]
    [InlineData("White", "a white fox in a red sweater with a blue top hat and sunglasses")]
    public void WordsAreThoseOfTheCharacter(string fur, string words) => Assert.Equal(words, Caption.Who(new()
    {
        Species = Species.Fox, Fur = Enum.Parse<Fur>(fur), Garment = Garment.Sweater, GarmentDye = Dye.Red, Hat = Hat.TopHat,
        HatDye = Dye.Blue, Glasses = Glasses.Sunglasses,
    }, Said.Everything));

    [Fact]
    public void TheReaderSeesMeansOfPixels()
    {
        var pixels = new byte[4 * 128 * 128];
        for (var i = 0; i < 128 * 128; i++)
            (pixels[4 * i], pixels[(4 * i) + 1], pixels[(4 * i) + 3]) = ((byte)(i % 2 == 0 ? 0 : 255), 255, 255);
        var values = new float[ReaderInput.Length];
        ReaderInput.Shrink(pixels, 128, values);
        Assert.Equal([0f, 1f, -1f], [values[0], values[64 * 64], values[^1]]);
        Assert.Throws<ArgumentException>(() => ReaderInput.Shrink(pixels, 100, values));
    }

    private static byte[] Pixels(int seed) => Pixels(DrawnPicture.Next(seed, isHeldBack: false));

    private static byte[] Pixels(DrawnPicture drawn)
    {
        using var picture = PictureDrawing.Draw(drawn, 64);
        return picture.GetPixelSpan().ToArray();
    }
}
