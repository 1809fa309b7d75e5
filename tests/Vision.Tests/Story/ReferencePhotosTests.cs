using Microsoft.ML;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;

namespace Vision.Tests;

public sealed class ReferencePhotosTests(ReferencePhotosTests.Folders folders) : IClassFixture<ReferencePhotosTests.Folders>
{
    private const string Characters = "[Ann] a woman img in a hat\n[Bob] a man";

    private static readonly string[] Lines = ["[Ann] in the garden", "[Bob] in the street", "[Ann] with [Bob]"];

    private static readonly StoryOptions Quick = new()
    {
        StepCount = 3, Seed = 5, FreeU = false, Height = 64, Width = 64, Layout = StoryLayout.None, Consistency = StoryConsistency.None,
        TextOnlyShare = 0,
    };

    public sealed class Folders : IDisposable
    {
        public TinyDiffusionFolder Plain { get; } = new(isXl: true);

        public TinyDiffusionFolder Photos { get; } = new(isXl: true, readsPhotos: true);

        public void Dispose()
        {
            Plain.Dispose();
            Photos.Dispose();
        }
    }

    [Fact]
    public void PicturesOfAPersonDependOnThePhotosAfterTheFirstSteps()
    {
        var (dark, light, both) = (Photos("[Ann]", 20), Photos("[Ann]", 230), Photos("[Ann]", 20, 230));
        var expected = Pictures(Quick, dark);
        Assert.Equal([true, true, true], Same(expected, Pictures(Quick, dark)));
        Assert.Equal([false, true, false], Same(expected, Pictures(Quick, light)));
        Assert.Equal([false, true, false], Same(expected, Pictures(Quick, both)));
        var textOnly = Quick with { TextOnlyShare = 1 };
        Assert.Equal([true, true, true], Same(Pictures(textOnly, dark), Pictures(textOnly, light)));
        Assert.Equal([false, true, false], Same(Pictures(textOnly, dark), expected));

        static bool[] Same(byte[][] a, byte[][] b) => [.. a.Zip(b, (x, y) => x.AsSpan().SequenceEqual(y))];
    }

    [Fact]
    public void PhotosThatBelongToNothingAreRefused()
    {
        Refused("no id_encoder/model.onnx", folders.Plain, Photos("[Ann]", 20));
        Refused("reference photos of '[Eve]', but the story's characters are '[Ann]', '[Bob]'", folders.Photos, Photos("[Eve]", 20));
        Refused("0 reference photos of '[Ann]'", folders.Photos, Photos("[Ann]"));
        Refused("write 'img' after it, as in 'a man img'", folders.Photos, Photos("[Bob]", 20));
        Refused("shorten", folders.Photos, Photos("[Ann]", [.. Enumerable.Range(0, 20)]));

        void Refused(string message, TinyDiffusionFolder folder, IReadOnlyDictionary<string, IReadOnlyList<MLImage>> photos)
        {
            using var generator = new StoryGenerator(new MLContext(1), folder.Folder, Quick);
            Assert.Contains(message, Assert.Throws<InvalidDataException>(() => generator.GenerateFromPhotos(Characters, Lines, photos)).Message);
        }
    }

    [Fact]
    public void AnEncoderOfAnotherKindIsRefused()
    {
        using var folder = new TinyDiffusionFolder(isXl: true, readsPhotos: true);
        File.Copy(Path.Combine(folder.Folder, "vae_decoder", "model.onnx"), Path.Combine(folder.Folder, "id_encoder", "model.onnx"), overwrite: true);
        using var generator = new StoryGenerator(new MLContext(1), folder.Folder, Quick);
        Assert.Contains("is no encoder of reference photos: expected inputs id_pixel_values, prompt_embeds and class_tokens_mask",
            Assert.Throws<InvalidDataException>(() => generator.GenerateFromPhotos(Characters, Lines, Photos("[Ann]", 20))).Message);
    }

    [Fact]
    public void TheWordBeforeTheMarkCountsOnceAPhoto()
    {
        var tokenizer = ClipTokenizer.FromMerges([("m", "a"), ("ma", "n</w>")]);
        var places = new int[1];
        var index = MarkedPrompt.IndexIn("a man img, imgs");
        var prompt = MarkedPrompt.Cut("a man img, imgs", [(index, 3)]);
        var tokens = prompt.Tokenize(tokenizer, places);
        var man = Assert.Single(tokenizer.Tokenize("man"));
        Assert.Equal([.. tokenizer.Tokenize("a"), man, man, man, .. tokenizer.Tokenize(", imgs")], tokens);
        Assert.Equal(2, places[0]);
        Assert.Equal("a man , imgs", Assert.Single(prompt.WithoutPhotos().Parts));
        Assert.Equal(-1, MarkedPrompt.IndexIn("a man with imgs"));
        Assert.Contains("begins the prompt", Assert.Throws<InvalidDataException>(
            () => MarkedPrompt.Cut("img", [(0, 2)]).Tokenize(tokenizer, places)).Message);
    }

    private static Dictionary<string, IReadOnlyList<MLImage>> Photos(string tag, params int[] greys) =>
        new() { [tag] = [.. greys.Select(Photo)] };

    // A grey that fades to the right.
    private static MLImage Photo(int grey)
    {
        var pixels = new byte[12 * 10 * 4];
        for (var i = 0; i < pixels.Length; i++)
            pixels[i] = i % 4 == 3 ? (byte)255 : (byte)(grey * (12 - (i / 4 % 12)) / 12);
        return MLImage.CreateFromPixels(12, 10, MLPixelFormat.Rgba32, pixels);
    }

    private byte[][] Pictures(StoryOptions options, IReadOnlyDictionary<string, IReadOnlyList<MLImage>> photos)
    {
        using var generator = new StoryGenerator(new MLContext(1), folders.Photos.Folder, options);
        using var story = generator.GenerateFromPhotos(Characters, Lines, photos);
        return [.. story.Pictures.Select(picture => picture.Image.Pixels.ToArray())];
    }
}
