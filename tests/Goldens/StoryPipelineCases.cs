using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>StoryDiffusion's loops over all steps with a small UNet: the pictures that make up a character, and one that looks at them.</summary>
internal sealed class StoryPipelineCases : IGoldenModel
{
    public string Name => StoryCases.Family;

    public OnnxModel Build(GoldenCase golden) =>
        UNet2DCondition.Build(ConfigFile.Parse<UNet2DConditionConfig>(golden.Config.GetProperty("unet")), golden.Weights);

    public IEnumerable<IReadOnlyDictionary<string, Tensor>> Run(GoldenCase golden, IReadOnlyList<RunMode> modes)
    {
        var freeU = golden.Config.GetProperty("freeu").ValueKind != System.Text.Json.JsonValueKind.Null;
        return modes.Select(mode =>
        {
            using var unet = new StoryUnet(StoryUnet.Prepare(Build(golden), groupCount: 2, freeU), model => Open(model, mode));
            return Run(golden, unet);
        });
    }

    private static OnnxSession Open(OnnxModel model, RunMode mode)
    {
        using var options = new SessionOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR };
        mode.Configure(options);
        return new(new InferenceSession(model.ToBytes(), options), mode.IsCuda ? ExecutionProvider.Cuda : ExecutionProvider.Cpu, deviceId: 0);
    }

    private static Dictionary<string, Tensor> Run(GoldenCase golden, StoryUnet unet)
    {
        var (config, seed) = (golden.Config, golden.Description.GetProperty("seed").GetInt32());
        var scheduler = Scheduler.Create(
            config.GetProperty("scheduler").GetString() == "ddim" ? StoryScheduler.Ddim : StoryScheduler.Euler,
            SchedulerConfig.Parse(config.GetProperty("scheduler_config").GetRawText()), config.GetProperty("steps").GetInt32());
        float[] timeIds = [.. config.GetProperty("time_ids").EnumerateArray().Select(id => id.GetSingle())];
        var conditions = new UnetConditions(
            config.GetProperty("height").GetInt32() / 8, config.GetProperty("width").GetInt32() / 8,
            Embeddings(golden, "negative_embeds", "negative_pooled")[0], config.GetProperty("guidance_scale").GetSingle(), timeIds);

        var (write, read) = (Pass("id"), Pass("read.0"));
        var outputs = new Dictionary<string, Tensor>
        {
            ["mid:timesteps"] = Tensor.Create<float>([.. scheduler.Timesteps.Select(time => (float)time)], scheduler.Timesteps.Count),
        };
        new StoryDenoiser(unet, scheduler, Plan(golden, unet, conditions, seed), conditions, picturesAtOnce: 4).Run([write], [(read, [0])], Record, default);
        return outputs;

        StoryPass Pass(string name)
        {
            var prompts = Embeddings(golden, $"embeds.{name}", $"embeds.{name}.pooled");
            var latents = golden.Inputs[$"latents.{name}"].AsSpan<float>().ToArray();
            var pictures = prompts.Select((prompt, i) =>
                new LatentPicture([.. latents.Chunk(conditions.LatentCount).ElementAt(i).Select(value => value * scheduler.InitialNoise)], prompt));
            return new([.. pictures], new TorchRandom(seed));
        }

        void Record(int step)
        {
            foreach (var (name, pass) in new[] { ("write", write), ("read0", read) })
            {
                long[] dims = [pass.Pictures.Count, conditions.Channels, conditions.Height, conditions.Width];
                outputs[$"{name}.latents.{step}"] = Tensor.Create<float>([.. pass.Pictures.SelectMany(picture => picture.Latents)], dims);
                outputs[$"{name}.noise.{step}"] = Tensor.Create<float>([.. pass.Pictures.SelectMany(picture => picture.Prediction)], dims);
            }
        }
    }

    // The samples of tokens are given: one draw after the other, level by level.
    private static ConsistencyPlan Plan(GoldenCase golden, StoryUnet unet, UnetConditions conditions, int seed)
    {
        var config = golden.Config;
        var isDense = config.GetProperty("source").GetString() == "app.py";
        float[] shares = [config.GetProperty("sa32").GetSingle(), config.GetProperty("sa64").GetSingle()];
        var draw = 0;
        return new(
            isDense ? StoryConsistency.Dense : StoryConsistency.Gathered, unet.LayerCount,
            [.. shares.Select((share, level) => (unet.TokenCount(level, conditions), share))],
            config.GetProperty("id_length").GetInt32(), seed,
            values => ReferenceValues.Input($"rand.{draw++}", [values.Length], seed, 0, 1).AsSpan<float>().CopyTo(values));
    }

    private static PromptEmbedding[] Embeddings(GoldenCase golden, string tokens, string pooled)
    {
        var (states, vectors) = (golden.Inputs[tokens], golden.Inputs[pooled]);
        var (count, width, pooledWidth) = ((int)states.Dims[1], (int)states.Dims[2], (int)vectors.Dims[1]);
        var (all, allPooled) = (states.AsSpan<float>().ToArray(), vectors.AsSpan<float>().ToArray());
        return [.. all.Chunk(count * width).Zip(allPooled.Chunk(pooledWidth), (text, whole) => new PromptEmbedding(text, count, whole))];
    }
}
