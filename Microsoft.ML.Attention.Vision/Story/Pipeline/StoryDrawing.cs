using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Vision;

/// <summary>A story whose pictures belong to nobody else.</summary>
/// <param name="Prompts">What each picture was made of.</param>
/// <param name="Captions">What each picture's line says below it.</param>
/// <param name="Pictures">The pictures.</param>
/// <param name="Pages">The pages.</param>
internal sealed record DrawnStory(
    IReadOnlyList<string> Prompts, IReadOnlyList<string> Captions, IReadOnlyList<PagePicture> Pictures, IReadOnlyList<PagePicture> Pages);

/// <summary>One story from its script to pictures and pages.</summary>
internal sealed class StoryDrawing(DiffusionModel model, StoryOptions options, int picturesAtOnce, long seed)
{
    private readonly Scheduler _scheduler = Scheduler.Create(options.Scheduler, model.Scheduler, options.StepCount);

    public DrawnStory Draw(
        StoryScript script, IReadOnlyDictionary<string, IReadOnlyList<MLImage>> photos, Action<int>? stepDone, CancellationToken cancellation)
    {
        var photographed = new PhotographedCharacters(model, script.Characters, photos);
        var conditions = Conditions(cancellation);
        string[] prompts = [.. script.Frames.Select(frame => options.Style.Positive(frame.Prompt))];
        var pictures = new LatentPicture[prompts.Length];
        var generator = new TorchRandom(seed);

        var characters = script.IdentityFrames.ToArray();
        StoryPass[] writes = [.. characters.Select(character => Pass(character.Value))];
        var made = characters.SelectMany(character => character.Value).ToHashSet();
        var reads = Enumerable.Range(0, prompts.Length).Where(frame => !made.Contains(frame))
            .Select(frame => (Pass([frame]), Places(script.Frames[frame]))).ToArray();

        var plan = new ConsistencyPlan(
            options.Consistency, model.Unet.LayerCount,
            [.. Enumerable.Range(0, model.Unet.LevelCount).Select(level => (model.Unet.TokenCount(level, conditions), options.TokenShare(level)))],
            options.IdentityCount, seed);
        new StoryDenoiser(model.Unet, _scheduler, plan, conditions, picturesAtOnce).Run(writes, reads, stepDone, cancellation);

        PagePicture[] decoded = [.. pictures.Select(picture =>
            model.Decoder.Decode(picture.Latents, conditions.Height, conditions.Width, options.DecodeTileSize, cancellation))];
        return new(prompts, [.. script.Frames.Select(frame => frame.Caption)], decoded, Pages(decoded, script, plan.Random));

        StoryPass Pass(int[] frames)
        {
            if (options.SameNoise)
                generator = new(seed);
            var latents = new float[frames.Length * conditions.LatentCount];
            generator.FillNormal(latents);
            foreach (var (i, frame) in frames.Index())
            {
                var start = latents.AsSpan(i * conditions.LatentCount, conditions.LatentCount).ToArray();
                pictures[frame] = Picture(Array.ConvertAll(start, value => value * _scheduler.InitialNoise), frame);
            }
            var noise = generator.Clone();
            // The pictures of the next pass begin where this one's steps have ended.
            for (var step = 0; step < options.StepCount && _scheduler.DrawsNoise; step++)
                generator.SkipNormal(latents.Length);
            return new([.. frames.Select(frame => pictures[frame])], noise);
        }

        LatentPicture Picture(float[] latents, int frame)
        {
            var text = photographed.Mark(prompts[frame], script.Frames[frame]).WithoutPhotos();
            var later = photographed.Encode(model.Encoder, prompts[frame], script.Frames[frame], cancellation);
            return new(latents, model.Encoder.Encode(text, cancellation).Embedding)
            {
                Later = later is null ? null : (later, options.FirstStepOfPhotos),
            };
        }

        int[] Places(StoryFrame frame) =>
            [.. frame.Characters.Select(present => Array.FindIndex(characters, character => character.Key == present)).Where(place => place >= 0)];
    }

    private UnetConditions Conditions(CancellationToken cancellation)
    {
        var (height, width, reduction) = (options.Height ?? model.TrainedSize, options.Width ?? model.TrainedSize, model.Decoder.Reduction);
        var negative = options.Guidance > 1 ? model.Encoder.Encode(options.Style.Negative(options.NegativePrompt), cancellation) : null;
        float[] timeIds = model.IsXl ? [height, width, 0, 0, height, width] : [];
        return new(height / reduction, width / reduction, negative, options.Guidance, timeIds)
        {
            Channels = model.Decoder.LatentChannels,
        };
    }

    private IReadOnlyList<PagePicture> Pages(PagePicture[] pictures, StoryScript script, PythonRandom random)
    {
        Func<PagePicture, int, PagePicture>? caption = options.Captions
            ? (picture, i) => Vision.Captions.Write(picture, script.Frames[i].Caption)
            : null;
        var filler = PagePicture.Blank(pictures[0].Width, pictures[0].Height, 255);
        return options.Layout switch
        {
            StoryLayout.Classic => [ComicPages.Classic(pictures, filler, random, caption)],
            StoryLayout.FourPanels => ComicPages.FourPanels(pictures, filler, caption),
            _ => [],
        };
    }
}
