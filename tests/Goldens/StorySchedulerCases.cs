using System.Text.Json;
using Microsoft.ML.Attention.Vision;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>StoryDiffusion's schedulers: trajectories of made-up predictions.</summary>
internal sealed class StorySchedulerCases : ComputedCases
{
    protected override IReadOnlyDictionary<string, Tensor> Compute(GoldenCase golden)
    {
        var outputs = new Dictionary<string, Tensor>();
        foreach (var entry in golden.Config.EnumerateObject())
        {
            foreach (var (name, tensor) in Trajectory(entry.Value, golden))
                outputs[$"{entry.Name}.{name}"] = tensor;
        }
        return outputs;
    }

    private static Dictionary<string, Tensor> Trajectory(JsonElement entry, GoldenCase golden)
    {
        var (scheduler, count) = (Create(entry), entry.GetProperty("steps").GetInt32());
        int[] recorded = [.. entry.GetProperty("recorded_steps").EnumerateArray().Select(step => step.GetInt32())];
        float[] latents = [.. Draw(golden, "sample").Select(value => value * scheduler.InitialNoise)];
        var original = new float[latents.Length];
        var (after, pictures, scaled) = (new List<float>(), new List<float>(), new List<float>());
        for (var step = 0; step < count; step++)
        {
            var input = Array.ConvertAll(latents, value => value * scheduler.InputScale(step));
            scheduler.Step(step, Draw(golden, $"model_output.{step}"), latents, original, Draw(golden, $"variance_noise.{step}"));
            if (!recorded.Contains(step))
                continue;
            after.AddRange(latents);
            pictures.AddRange(original);
            scaled.AddRange(input);
        }
        long[] dims = [recorded.Length, .. golden.Inputs["sample"].Dims];
        var tensors = new Dictionary<string, Tensor>
        {
            ["timesteps"] = Tensor.Create<double>([.. scheduler.Timesteps], count),
            ["init_noise_sigma"] = Tensor.Create<double>([scheduler.InitialNoise]),
            ["prev_sample"] = Tensor.Create<float>([.. after], dims),
            ["pred_original_sample"] = Tensor.Create<float>([.. pictures], dims),
            ["scaled_input"] = Tensor.Create<float>([.. scaled], dims),
        };
        if (scheduler is EulerScheduler euler)
            tensors["sigmas"] = Tensor.Create<float>(euler.Sigmas, euler.Sigmas.Length);
        return tensors;
    }

    private static Scheduler Create(JsonElement entry)
    {
        var (config, count) = (SchedulerConfig.Parse(entry.GetProperty("config").GetRawText()), entry.GetProperty("steps").GetInt32());
        config = config with { ClassName = entry.GetProperty("scheduler").GetString() };
        return entry.GetProperty("options").TryGetProperty("eta", out var eta)
            ? new DdimScheduler(config, count) { Eta = eta.GetSingle() }
            : Scheduler.Create(StoryScheduler.FromModel, config, count);
    }

    private static float[] Draw(GoldenCase golden, string name)
    {
        var description = golden.Description.GetProperty("inputs").GetProperty(name.Contains('.') ? name[..name.IndexOf('.')] + ".K" : name);
        return ReferenceValues.Input(
            name, [.. golden.Inputs["sample"].Dims], description.GetProperty("seed").GetInt32(), description.GetProperty("lo").GetDouble(),
            description.GetProperty("hi").GetDouble()).AsSpan<float>().ToArray();
    }
}
