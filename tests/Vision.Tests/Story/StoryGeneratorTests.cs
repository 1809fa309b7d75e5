using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.OnnxRuntime;

namespace Vision.Tests;

public sealed class StoryGeneratorTests(StoryGeneratorTests.Folders folders) : IClassFixture<StoryGeneratorTests.Folders>
{
    private const string Characters = "[Ann] a tall woman\n[Bob]a man in a hat #the hero";

    private static readonly string[] Lines =
        ["[Ann] in the garden #Ann at home", "[Bob] in the street", "[NC] a dog in the rain", "[Ann] and [Bob] in the car", "[Ann] asleep"];

    private static readonly StoryOptions Quick = new()
    {
        StepCount = 3, Seed = 5, FreeU = false, Height = 64, Width = 96, Layout = StoryLayout.None, Consistency = StoryConsistency.Dense,
    };

    public sealed class Folders : IDisposable
    {
        public TinyDiffusionFolder Sd { get; } = new();

        public TinyDiffusionFolder Xl { get; } = new(isXl: true);

        public void Dispose()
        {
            Sd.Dispose();
            Xl.Dispose();
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void MakesAPictureOfEachLineAndPages(bool isXl)
    {
        var steps = new List<int>();
        using var generator = Generator(Quick with { FreeU = true, Layout = StoryLayout.Classic, Consistency = StoryConsistency.Gathered }, isXl);
        using var story = generator.Generate(Characters, Lines, new Steps(steps));
        Assert.Equal(Lines.Length, story.Pictures.Count);
        Assert.All(story.Pictures, picture => Assert.Equal((96, 64), (picture.Image.Width, picture.Image.Height)));
        Assert.Equal("Ann at home", story.Pictures[0].Caption);
        Assert.Equal(" a tall woman  in the garden ", story.Pictures[0].Prompt);
        Assert.Equal([1, 2, 3], steps);
        Assert.Equal(5, story.Seed);
        var page = Assert.Single(story.Pages);
        Assert.Equal(2 * (64 + 20), page.Height);
    }

    [Fact]
    public void TheSameSeedMakesTheSameStoryOnManyThreads()
    {
        using var generator = Generator(Quick);
        using var expected = generator.Generate(Characters, Lines);
        Parallel.For(0, 3, _ =>
        {
            using var again = generator.Generate(Characters, Lines);
            AssertSame(expected.Pictures, again.Pictures, 0);
        });
        using var other = Generator(Quick with { Seed = 6 });
        using var different = other.Generate(Characters, Lines);
        Assert.NotEqual(expected.Pictures[0].Image.Pixels.ToArray(), different.Pictures[0].Image.Pixels.ToArray());
    }

    // Whatever runs together, what comes out is the same but for rounding.
    [Theory]
    [InlineData(StoryConsistency.Dense)]
    [InlineData(StoryConsistency.Gathered)]
    public void MemoryLimitsDoNotChangeTheStory(StoryConsistency consistency)
    {
        var options = Quick with { Consistency = consistency, SameNoise = true };
        using var together = Generator(options);
        using var apart = Generator(options with { GuidanceApart = true }, batchSize: 1);
        using var expected = together.Generate(Characters, Lines);
        using var actual = apart.Generate(Characters, Lines);
        AssertSame(expected.Pictures, actual.Pictures, 1);
    }

    [Fact]
    public void OthersLookAtTheCharactersPictures()
    {
        using var consistent = Generator(Quick);
        using var alone = Generator(Quick with { Consistency = StoryConsistency.None });
        using var first = consistent.Generate(Characters, Lines);
        using var second = alone.Generate(Characters, Lines);
        var differences = first.Pictures.Zip(second.Pictures).Select(pair => Difference(pair.First, pair.Second) > 1).ToArray();
        // In the first steps the pictures that make up a character see themselves only; nobody is in the third.
        Assert.Equal([false, false, false, true, true], differences);
    }

    [Fact]
    public void SlicesOfALargeWriteLookAtThoseBefore()
    {
        string[] lines = [.. Enumerable.Range(0, 5).Select(i => $"in scene {i}")];
        using var generator = Generator(Quick with { IdentityCount = 4, Consistency = StoryConsistency.Gathered, TokenShares = [0.9f] }, batchSize: 2);
        using var story = generator.Generate("a cat", lines);
        Assert.Equal(5, story.Pictures.Count);
    }

    [Fact]
    public void TilesMeetSeamlessly()
    {
        using var whole = Generator(Quick);
        using var tiled = Generator(Quick with { DecodeTileSize = 48 });
        using var expected = whole.Generate("a cat", Lines[4..]);
        using var actual = tiled.Generate("a cat", Lines[4..]);
        // Normalisation over a tile is not that over the picture: alike, not the same.
        Assert.InRange(Difference(expected.Pictures[0], actual.Pictures[0], average: true), 0, 12);
    }

    [Theory]
    [InlineData(StoryScheduler.Euler)]
    [InlineData(StoryScheduler.EulerAncestral)]
    [InlineData(StoryScheduler.DpmSolverMultistep)]
    [InlineData(StoryScheduler.FromModel)]
    public void EverySchedulerMakesAStory(StoryScheduler scheduler)
    {
        using var generator = Generator(Quick with { Scheduler = scheduler, Guidance = 1 });
        using var story = generator.Generate("a cat", ["in the garden", "in the street"]);
        Assert.Equal(2, story.Pictures.Count);
    }

    [Fact]
    public void EndsWhenItIsCancelled()
    {
        using var cancellation = new CancellationTokenSource();
        using var generator = Generator(Quick with { StepCount = 50 });
        var progress = new Steps([], () => cancellation.Cancel());
        Assert.Throws<OperationCanceledException>(() => generator.Generate("a cat", ["asleep"], progress, cancellation.Token));
        using var story = Generator(Quick).Generate("a cat", ["asleep"]);
    }

    [Theory]
    [InlineData(StoryConsistency.Dense)]
    [InlineData(StoryConsistency.Gathered)]
    public void ComputesTheSameOnCuda(StoryConsistency consistency)
    {
        if (!OrtEnv.Instance().GetAvailableProviders().Contains("CUDAExecutionProvider"))
            Assert.Skip("no CUDA execution provider in the loaded ONNX Runtime");
        var options = Quick with { Consistency = consistency, FreeU = true };
        using var cpu = Generator(options, provider: ExecutionProvider.Cpu);
        using var cuda = Generator(options, provider: ExecutionProvider.Cuda);
        using var expected = cpu.Generate(Characters, Lines);
        using var actual = cuda.Generate(Characters, Lines);
        // TF32, which CUDA sessions use, keeps 10 bits of a product's factors.
        AssertSame(expected.Pictures, actual.Pictures, 8);
    }

    [Fact]
    public void SaysWhatIsWrong()
    {
        using var two = Generator(Quick with { IdentityCount = 2 });
        Assert.Contains("Character [Bob] is alone in 1 of 5 lines", Assert.Throws<InvalidDataException>(() => two.Generate(Characters, Lines)).Message);
        using var generator = Generator(Quick);
        Assert.Contains("[Ann] is described twice", Assert.Throws<InvalidDataException>(() => generator.Generate("[Ann] a\n[Ann] b", Lines)).Message);
        Assert.Throws<ArgumentException>(() => generator.Generate("a cat", []));
        Assert.Contains("multiple of 32", Assert.Throws<ArgumentException>(() => Generator(Quick with { Width = 70 })).Message);
        using var nowhere = new StoryGenerator(new MLContext(), "no-such-folder");
        Assert.Contains("it lacks model_index.json, unet/model.onnx", Assert.Throws<InvalidDataException>(() => nowhere.Generate("a cat", Lines)).Message);
    }

    private StoryGenerator Generator(
        StoryOptions options, bool isXl = false, int batchSize = 4, ExecutionProvider provider = ExecutionProvider.Cpu) =>
        new(new MLContext(), (isXl ? folders.Xl : folders.Sd).Folder, options,
            new() { BatchSize = batchSize, Session = new() { ExecutionProvider = provider } });

    private static void AssertSame(IReadOnlyList<StoryPicture> expected, IReadOnlyList<StoryPicture> actual, int tolerance)
    {
        foreach (var (first, second) in expected.Zip(actual))
            Assert.InRange(Difference(first, second), 0, tolerance);
    }

    private static double Difference(StoryPicture first, StoryPicture second, bool average = false)
    {
        var differences = first.Image.Pixels.ToArray().Zip(second.Image.Pixels.ToArray(), (a, b) => (double)Math.Abs(a - b));
        return average ? differences.Average() : differences.Max();
    }

    private sealed class Steps(List<int> steps, Action? then = null) : IProgress<StoryProgress>
    {
        public void Report(StoryProgress value)
        {
            steps.Add(value.Step);
            then?.Invoke();
        }
    }
}
